// The screen that merges two edits: the button says which fields still need a choice, and takes no press until then.
// The server asks the same again, so without this script only the help is missing.
"use strict";

(() => {
  const undecidedOf = (form) => [...form.querySelectorAll("[role=radiogroup][data-field]")].filter((group) => !group.querySelector("input:checked"));

  function look() {
    const form = document.querySelector("form[data-merge]");
    if (!form) return;
    const open = undecidedOf(form).map((group) => group.dataset.field);
    const button = form.querySelector("[data-save]");
    const undecided = button.querySelector("[data-undecided]");
    if (!undecided) return;
    if (open.length) button.setAttribute("aria-disabled", "true");
    else button.removeAttribute("aria-disabled");
    undecided.hidden = !open.length;
    button.querySelector("[data-decided]").hidden = open.length > 0;
    undecided.querySelectorAll("[data-of]").forEach((name) => { name.hidden = !open.includes(name.dataset.of); });
  }

  document.addEventListener("change", look);
  document.addEventListener("input", (event) => {
    const { own } = event.target.dataset;
    if (!own) return;
    // Whoever writes other words means them.
    const choice = event.target.form.querySelector(`input[name="${CSS.escape(own)}"][value=own]`);
    if (!choice.checked) choice.click();
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-save][aria-disabled=true]");
    if (!button) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    undecidedOf(button.form)[0].querySelector("input").focus();
  }, true);
  document.addEventListener("htmx:after:swap", look);
  look();
})();
