// A combobox over a listbox that htmx fills (the editable combobox of the ARIA Authoring Practices): arrows, Enter,
// Escape. What is chosen becomes an option of the select that the input fills, and is chosen there; or it is added to
// the list, with commas, of the text input that it fills.
"use strict";

(() => {
  const listOf = (input) => document.getElementById(input.getAttribute("aria-controls"));
  const optionsOf = (input) => [...listOf(input).querySelectorAll("[role=option]:not([aria-disabled])")];
  const activeOf = (input) => document.getElementById(input.getAttribute("aria-activedescendant") || "-");

  function activate(input, option) {
    optionsOf(input).forEach((each) => each.setAttribute("aria-selected", String(each === option)));
    if (option) {
      input.setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    } else input.removeAttribute("aria-activedescendant");
  }

  function toggle(input, isOpen) {
    listOf(input).hidden = !isOpen;
    input.setAttribute("aria-expanded", String(isOpen));
    if (!isOpen) activate(input, null);
  }

  function pick(select, option) {
    let entry = [...select.options].find((each) => each.value === option.dataset.value);
    if (!entry) {
      entry = new Option(option.dataset.label, option.dataset.value);
      select.add(entry);
    }
    entry.selected = true;
  }

  function choose(input, option) {
    const filled = document.getElementById(input.dataset.fills);
    if (filled.matches("select")) pick(filled, option);
    else window.sigilo.list.add(filled, option.dataset.value);
    input.value = "";
    listOf(input).replaceChildren();
    toggle(input, false);
    filled.dispatchEvent(new Event("change", { bubbles: true }));
    document.getElementById(input.dataset.then).focus();
  }

  document.addEventListener("keydown", (event) => {
    const input = event.target.closest("[role=combobox][data-fills]");
    if (!input) return;
    const options = optionsOf(input);
    const at = options.indexOf(activeOf(input));
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!options.length) return;
      toggle(input, true);
      const step = event.key === "ArrowDown" ? 1 : -1;
      activate(input, options[at < 0 ? (step > 0 ? 0 : options.length - 1) : (at + step + options.length) % options.length]);
    } else if (event.key === "Enter" && input.getAttribute("aria-expanded") === "true") {
      event.preventDefault();
      if (at >= 0) choose(input, options[at]);
      else if (options.length === 1) choose(input, options[0]);
    } else if (event.key === "Enter" && input.form.target === "_blank") {
      event.preventDefault(); // the list comes by itself; another tab is for who has no script
    } else if (event.key === "Escape" && input.getAttribute("aria-expanded") === "true") {
      event.preventDefault();
      toggle(input, false);
    }
  });

  // The press must not take the focus from the input before the option is chosen.
  document.addEventListener("mousedown", (event) => {
    if (event.target.closest("[role=listbox] [role=option]")) event.preventDefault();
  });
  document.addEventListener("click", (event) => {
    const option = event.target.closest("[role=listbox] [role=option]:not([aria-disabled])");
    if (!option) return;
    const list = option.closest("[role=listbox]");
    choose(document.querySelector(`[role=combobox][aria-controls="${CSS.escape(list.id)}"]`), option);
  });
  document.addEventListener("focusout", (event) => {
    const input = event.target.closest("[role=combobox][data-fills]");
    if (input) toggle(input, false);
  });
  document.addEventListener("htmx:after:swap", (event) => {
    const list = event.detail.ctx && event.detail.ctx.target;
    if (!list || !list.matches || !list.matches("[role=listbox]")) return;
    const input = document.querySelector(`[role=combobox][aria-controls="${CSS.escape(list.id)}"]`);
    activate(input, null);
    toggle(input, list.childElementCount > 0 && document.activeElement === input);
  });
})();
