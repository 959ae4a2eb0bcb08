// Runs before the page is drawn, so that it never flashes in the wrong colours. Only this choice is kept in the browser.
"use strict";
(() => {
  const KEY = "lungwise-theme";
  const system = matchMedia("(prefers-color-scheme: light)");
  const wanted = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage is switched off
    }
  };
  const show = (theme) => {
    document.documentElement.dataset.theme = theme;
    document.dispatchEvent(new CustomEvent("theme", { detail: theme }));
  };
  const chosen = () => wanted() ?? (system.matches ? "light" : "dark");
  show(chosen());
  system.addEventListener("change", () => show(chosen()));
  document.addEventListener("theme-switch", () => {
    const next = document.documentElement.dataset.theme === "light" ? "dark" : "light";
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // The choice then holds for this visit.
    }
    show(next);
  });
})();
