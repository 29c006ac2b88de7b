// A button with data-copies="<id>" puts that field's value on the clipboard and says so.
"use strict";

(() => {
  if (!navigator.clipboard) return;
  document.querySelectorAll("[data-copies]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const field = document.getElementById(button.dataset.copies);
      field.select();
      await navigator.clipboard.writeText(field.value);
      button.parentElement.querySelector("[data-copied]").hidden = false;
    });
  });
})();
