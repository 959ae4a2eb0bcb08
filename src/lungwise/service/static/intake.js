// How files come in: dropped, chosen, pasted, whole folders.
import { $ } from "./dom.js";

/** Listen to every way. @param {(files: File[]) => void} take */
export function listen(take) {
  for (const what of ["files", "folder"]) {
    for (const where of ["add", "start"]) $(`#${where}-${what}`).addEventListener("click", () => $(`#${what}`).click());
  }
  for (const input of [$("#files"), $("#folder")]) {
    input.addEventListener("change", () => {
      const files = [...input.files];
      input.value = ""; // so that the same file can be chosen again
      take(input.id === "folder" ? files.filter(visible) : files);
    });
  }
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) {
      event.preventDefault();
      take(files);
    }
  });
  dropping(take);
}

function dropping(take) {
  const veil = $("#veil");
  const ours = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragenter", (event) => {
    if (ours(event)) veil.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) veil.hidden = true;
  });
  addEventListener("dragover", (event) => {
    if (ours(event)) event.preventDefault();
  });
  addEventListener("drop", async (event) => {
    if (!ours(event)) return;
    event.preventDefault(); // or the browser would leave the page to show the file
    veil.hidden = true;
    take(await dropped(event.dataTransfer));
  });
}

/** The files of a drop, folders opened. Entries must be asked for before the first wait. */
async function dropped(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const entries = items.map((item) => item.webkitGetAsEntry?.());
  if (entries.some((entry) => entry?.isDirectory)) return (await Promise.all(entries.map(inside))).flat();
  return [...transfer.files];
}

async function inside(entry) {
  if (!entry) return [];
  if (entry.isFile) return [await new Promise((done, failed) => entry.file(done, failed))];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    // A reader gives some entries at a time, and none at the end.
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) break;
    found.push(...some);
  }
  return (await Promise.all(found.map(inside))).flat().filter(visible);
}

/** Folders hold files that nobody means, such as .DS_Store. */
const visible = (file) => !file.name.startsWith(".") && file.name !== "Thumbs.db";
