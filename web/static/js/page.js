// What every page does: dialogs, toasts that leave, alerts that close, countdowns. Texts stand in the page.
"use strict";

(() => {
  const TOAST_MS = 8000;

  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-opens]");
    if (opener) {
      event.preventDefault();
      document.getElementById(opener.dataset.opens).showModal();
    }
    const closer = event.target.closest("[data-dismiss]");
    if (closer) closer.closest("[role=alert], .toast").remove();
    if (event.target.closest("[data-print]")) window.print();
    if (event.target.closest("[data-reload]")) location.reload();
  });

  // ?done=… named the toast; a reload or a shared address must not show it again.
  const address = new URL(location.href);
  if (address.searchParams.has("done")) {
    address.searchParams.delete("done");
    history.replaceState(history.state, "", address);
  }

  function leaveLater(toast) {
    if (toast.dataset.leaves) return;
    toast.dataset.leaves = "1";
    setTimeout(() => toast.remove(), TOAST_MS);
  }

  function countDown(element) {
    if (element.dataset.counts) return;
    element.dataset.counts = "1";
    const until = Date.now() + 1000 * Number(element.dataset.retryAfter);
    const shown = element.querySelector("[data-countdown]");
    const tick = setInterval(() => {
      const left = Math.max(0, Math.ceil((until - Date.now()) / 1000));
      shown.textContent = `${left} s`;
      if (left === 0) clearInterval(tick);
    }, 500);
  }

  // Two lines that both say "Fill this in" help nobody: each names its field, in the field's own words.
  function nameField(link) {
    const field = document.getElementById(link.hash.slice(1));
    if (!field || link.dataset.named) return;
    link.dataset.named = "1";
    const label = field.labels ? field.labels[0] : field.closest("fieldset")?.querySelector("legend");
    if (label) link.prepend(`${label.firstChild.textContent.trim()}: `);
  }

  function look(root) {
    root.querySelectorAll("#form-errors a[href^='#']").forEach(nameField);
    root.querySelectorAll("[data-toast]").forEach(leaveLater);
    root.querySelectorAll("[data-retry-after]").forEach(countDown);
  }

  look(document);
  document.addEventListener("htmx:after:swap", () => look(document));

  // A form that came back with errors: the reader starts at what is wrong.
  const errors = document.getElementById("form-errors");
  if (errors) errors.focus();
  document.addEventListener("htmx:after:swap", (event) => {
    const main = document.getElementById("main");
    if (event.detail.ctx.target !== main) return;
    const start = main.querySelector("#form-errors") || main.querySelector("[autofocus]") || main;
    scrollTo(0, 0);
    start.focus();
  });
})();
