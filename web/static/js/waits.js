// Waiting times go on between two changes of the list. How late it is at the server stands in the page, so a wrong
// clock at the desk changes nothing; what is too long for a priority too.
"use strict";

(() => {
  const EVERY_MS = 15000;
  const MINUTE_MS = 60000;
  let offset = 0;

  // As the server writes it: 4 min, 1 h 05, 3 d.
  function text(minutes) {
    if (minutes < 60) return `${minutes} min`;
    if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")}`;
    return `${Math.floor(minutes / (24 * 60))} d`;
  }

  function tick() {
    for (const wait of document.querySelectorAll("[data-since]")) {
      const minutes = Math.max(0, Math.floor((Date.now() - offset - Date.parse(wait.dataset.since)) / MINUTE_MS));
      wait.querySelector("[data-shown]").textContent = text(minutes);
      if (wait.dataset.limit) wait.classList.toggle("late", minutes >= Number(wait.dataset.limit));
    }
  }

  function synchronize() {
    const day = document.querySelector("[data-now]");
    if (day) offset = Date.now() - Date.parse(day.dataset.now);
    tick();
  }

  synchronize();
  document.addEventListener("htmx:after:swap", synchronize);
  document.addEventListener("visibilitychange", tick);
  setInterval(tick, EVERY_MS);
})();
