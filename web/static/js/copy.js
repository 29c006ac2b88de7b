// Buttons that copy a value: they stand hidden in the page and show up where a script can copy.
"use strict";

(() => {
  const SAID_MS = 2000;

  function look() {
    if (navigator.clipboard) document.querySelectorAll("[data-copies][hidden]").forEach((button) => { button.hidden = false; });
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copies]");
    if (!button || button.dataset.says) return;
    await navigator.clipboard.writeText(button.dataset.copies);
    button.dataset.says = button.textContent;
    button.textContent = button.dataset.copied;
    setTimeout(() => {
      button.textContent = button.dataset.says;
      delete button.dataset.says;
    }, SAID_MS);
  });

  look();
  document.addEventListener("htmx:after:swap", look);
})();
