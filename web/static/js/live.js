// Asks every moment whether anything changed; when the token differs, parts of the page that listen for
// "sigilo:changed" fetch themselves anew. The token says that, not what: it is no read (SECURITY 40).
"use strict";

(() => {
  const EVERY_MS = 1000;
  const SLOWEST_MS = 30000;
  // What the page itself shows, so that a change before the first question is seen too.
  let token = document.body.dataset.token || null;
  let wait = EVERY_MS;

  const listens = () => document.querySelector("[hx-trigger*='sigilo:changed']") !== null;

  async function ask() {
    if (document.hidden || !listens()) return;
    try {
      const answer = await fetch("/live", { headers: { Accept: "application/json", "Sigilo-Background": "1" } });
      if (answer.status === 401) {
        document.dispatchEvent(new CustomEvent("sigilo:signed-out"));
        wait = SLOWEST_MS;
        return;
      }
      if (!answer.ok) {
        wait = Math.max(1000 * Number(answer.headers.get("Retry-After") || 0), Math.min(2 * wait, SLOWEST_MS));
        return;
      }
      wait = EVERY_MS;
      document.getElementById("offline").hidden = true;
      const found = (await answer.json()).token;
      if (token !== null && found !== token) document.body.dispatchEvent(new CustomEvent("sigilo:changed"));
      token = found;
    } catch {
      document.getElementById("offline").hidden = false;
      wait = Math.min(2 * wait, SLOWEST_MS);
    }
  }

  async function loop() {
    await ask();
    setTimeout(loop, wait);
  }

  document.addEventListener("visibilitychange", ask);
  loop();
})();
