// Windows over the page: the token, what is gone, and whether somebody is sure.
import { $ } from "./dom.js";
import { t } from "./strings.js";

const held = new Set(); // windows that wait for an answer

/** Let every close button close its window. */
export function wire() {
  for (const button of document.querySelectorAll("[data-close]")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
  // Escape would leave the page without a token, or without a workspace. Browsers let nobody stop a second Escape.
  for (const name of ["#token", "#gone"]) {
    $(name).addEventListener("cancel", (event) => event.preventDefault());
    $(name).addEventListener("close", () => held.has(name) && $(name).showModal());
  }
}

function open(name) {
  held.add(name);
  $(name).showModal();
}

function close(name) {
  held.delete(name);
  $(name).close();
}

/** Ask for the token. @param {boolean} wrong whether one was refused. @returns {Promise<string>} */
export function token(wrong) {
  const field = $("#token-value");
  $("#token-wrong").hidden = !wrong;
  field.value = "";
  open("#token");
  field.focus();
  return new Promise((done) => {
    $("#token-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const given = field.value.trim();
      field.value = "";
      close("#token");
      done(given);
    }, { once: true });
  });
}

/** Say that the images are gone. @returns {Promise<boolean>} whether to send them again. */
export function gone(minutes, files) {
  $("#gone-text").textContent = t("gone_text", { count: minutes });
  $("#gone-again").hidden = !files;
  $("#gone-again").textContent = t("gone_again", { count: files });
  open("#gone");
  return new Promise((done) => {
    const answer = (again) => () => {
      close("#gone");
      done(again);
    };
    $("#gone-again").onclick = answer(true);
    $("#gone-new").onclick = answer(false);
  });
}

/** Ask before all images are forgotten. @param {() => void} act */
export function sure(act) {
  $("#sure-yes").onclick = () => {
    $("#sure").close();
    act();
  };
  $("#sure").showModal();
}
