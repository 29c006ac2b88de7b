// Takes a suggestion of the local model into the form's own field when its button is pressed, and back when it is pressed
// again; the form then names the answer that helped (helpedBy). Nothing changes by itself. What an answer rests on may be
// written anew meanwhile: then it says that it is old.
"use strict";

(() => {
  let isOld = false;
  const cards = () => [...document.querySelectorAll("[data-suggests]")];
  const fieldOf = (button) => button.form.elements[button.dataset.takes];
  const isChoice = (field) => field instanceof RadioNodeList;
  const { itemsOf, add, remove } = window.sigilo.list;

  const isTaken = (button) => {
    const [field, { value, question }] = [fieldOf(button), button.dataset];
    const stands = isChoice(field) ? field.value === value : itemsOf(field).includes(value);
    return stands && itemsOf(button.form.elements.helpedBy).includes(question);
  };

  function show() {
    for (const card of cards()) {
      const buttons = [...card.querySelectorAll("[data-takes]")];
      buttons.forEach((button) => button.setAttribute("aria-pressed", String(isTaken(button))));
      const rejects = card.querySelector("[data-rejects]");
      if (rejects) rejects.hidden = buttons.some(isTaken);
      const old = card.querySelector("[data-stale]");
      if (old && isOld) old.hidden = false;
    }
  }

  function changed(field) {
    const control = isChoice(field) ? [...field].find((each) => each.checked) || field[0] : field;
    control.dispatchEvent(new Event("change", { bubbles: true }));
  }

  function take(button) {
    const [field, { value, question }] = [fieldOf(button), button.dataset];
    if (isChoice(field)) field.value = value;
    else add(field, value);
    add(button.form.elements.helpedBy, question);
    changed(field);
  }

  // Of a choice something else is chosen, by hand; of a list the item goes.
  function leave(button) {
    const [field, { value, question }] = [fieldOf(button), button.dataset];
    if (isChoice(field)) return;
    remove(field, value);
    const others = button.closest("[data-suggests]").querySelectorAll("[data-takes]");
    if (![...others].some(isTaken)) remove(button.form.elements.helpedBy, question);
    changed(field);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-takes]");
    if (!button) return;
    if (isTaken(button)) leave(button);
    else take(button);
    show();
  });
  document.addEventListener("input", (event) => {
    const rests = cards().some((card) => card.dataset.restsOn.split(" ").includes(event.target.name));
    if (rests) isOld = true;
    show();
  });
  document.addEventListener("change", show);
  document.addEventListener("htmx:before:request", (event) => {
    if (event.detail.ctx.sourceElement.matches("[data-asks]")) isOld = false;
  });
  document.addEventListener("htmx:after:swap", show);

  // Age and sex were somebody else's: what was taken goes with its suggestions, which the card loses by itself.
  document.addEventListener("sigilo:patient-chosen", () => {
    for (const card of cards()) [...card.querySelectorAll("[data-takes]")].filter(isTaken).forEach(leave);
  });
})();
