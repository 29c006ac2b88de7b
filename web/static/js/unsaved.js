// Warns before a form's text is lost by leaving the page: form[data-warns]. Not when every field is again what it was,
// nor when the form itself is sent. A form that came back with something wrong, or is marked "always", holds text that
// is saved nowhere although nobody touched it yet. Record forms keep drafts instead (drafts.js).
"use strict";

(() => {
  const CAME_BACK = "#form-errors, [aria-invalid=true]";
  let sent = null; // the form that leaving is the purpose of

  function differs(control) {
    if (control.type === "checkbox" || control.type === "radio") return control.checked !== control.defaultChecked;
    if (control.type === "file") return control.files.length > 0;
    if (control.localName !== "select") return "defaultValue" in control && control.value !== control.defaultValue;
    const options = [...control.options];
    // Where no option is named as chosen, a browser chooses the first.
    if (!control.multiple && !options.some((each) => each.defaultSelected)) return control.selectedIndex > 0;
    return options.some((each) => each.selected !== each.defaultSelected);
  }

  function hasText(form) {
    return form.dataset.warns === "always" || form.querySelector(CAME_BACK) !== null || [...form.elements].some(differs);
  }

  function mark() {
    document.querySelectorAll("form[data-warns]").forEach((form) => {
      form.toggleAttribute("data-unsaved", form !== sent && hasText(form));
    });
  }

  function send(form) {
    sent = form;
    mark();
  }

  document.addEventListener("input", (event) => { if (event.target.form) send(null); });
  document.addEventListener("change", (event) => { if (event.target.form) send(null); });
  document.addEventListener("submit", (event) => { if (!event.defaultPrevented) send(event.target); });
  document.addEventListener("htmx:before:request", (event) => {
    const { sourceElement } = event.detail.ctx;
    if (sourceElement.matches("form[data-warns]")) send(sourceElement);
  });
  // It did not go: refused, or the server is away.
  document.addEventListener("htmx:after:request", (event) => {
    const { response, sourceElement } = event.detail.ctx;
    if (sourceElement === sent && response && response.status >= 400) send(null);
  });
  document.addEventListener("htmx:error", () => send(null));
  document.addEventListener("htmx:after:swap", mark);
  window.addEventListener("pageshow", () => send(null));
  window.addEventListener("beforeunload", (event) => {
    mark();
    if (document.querySelector("form[data-unsaved]") === null) return;
    event.preventDefault();
    sent = null; // whoever stays has still something to lose
  });

  mark();
})();
