// Says before a file is sent that it is too large: a server that refuses it may close the connection meanwhile.
"use strict";

(() => {
  document.addEventListener("change", (event) => {
    const input = event.target.closest("input[type=file][data-max-bytes]");
    if (!input) return;
    const isTooLarge = [...input.files].some((file) => file.size > Number(input.dataset.maxBytes));
    const text = isTooLarge ? input.dataset.tooLarge : "";
    input.setCustomValidity(text);
    input.setAttribute("aria-invalid", String(isTooLarge));
    document.getElementById(`${input.id}-error`).textContent = text;
  });
})();
