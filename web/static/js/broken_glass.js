// Counts an emergency access down and loads the page anew at its end, so that what is masked again is not left
// in the clear on an open screen. Also when the page comes back from the browser's memory, or from sleep.
"use strict";

(() => {
  const SPARE_MS = 1000; // the server's clock decides: ask it a moment after the end

  function countDown(strip) {
    if (strip.dataset.counts) return;
    strip.dataset.counts = "1";
    const until = Date.now() + 1000 * Number(strip.dataset.glassSeconds);
    const shown = strip.querySelector("[data-countdown]");
    const tick = setInterval(() => {
      if (!strip.isConnected) {
        clearInterval(tick);
        return;
      }
      const left = Math.max(0, Math.ceil((until - Date.now()) / 1000));
      shown.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
      if (Date.now() >= until + SPARE_MS) {
        clearInterval(tick);
        location.reload();
      }
    }, 500);
  }

  const look = () => document.querySelectorAll("[data-glass-seconds]").forEach(countDown);

  look();
  document.addEventListener("htmx:after:swap", look);
  window.addEventListener("pageshow", (event) => {
    if (event.persisted && document.querySelector("[data-glass-seconds]")) location.reload();
  });
})();
