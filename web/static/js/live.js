// Asks every moment whether anything changed; when the token differs, parts of the page that listen for
// "sigilo:changed" fetch themselves anew, and a page about one patient says that something about them is new. A token
// says that, not what: it is no read (SECURITY 40).
"use strict";

(() => {
  const EVERY_MS = 1000;
  const SLOWEST_MS = 30000;
  // What the page itself shows, so that a change before the first question is seen too.
  let token = document.body.dataset.token || null;
  const { patient } = document.body.dataset;
  let patientToken = document.body.dataset.patientToken || null;
  let wait = EVERY_MS;

  const address = patient ? `/live?patientId=${patient}` : "/live";
  const listens = () => Boolean(patient) || document.querySelector("[hx-trigger*='sigilo:changed']") !== null;

  let isAsking = false;
  let ownChanges = 0;

  async function ask() {
    if (document.hidden || isAsking || !listens()) return;
    isAsking = true;
    const before = ownChanges;
    try {
      const answer = await fetch(address, { headers: { Accept: "application/json", "Sigilo-Background": "1" } });
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
      const found = await answer.json();
      if (before === ownChanges) take(found);
    } catch {
      document.getElementById("offline").hidden = false;
      wait = Math.min(2 * wait, SLOWEST_MS);
    } finally {
      isAsking = false;
    }
  }

  function take(found) {
    if (token !== null && found.token !== token) document.body.dispatchEvent(new CustomEvent("sigilo:changed"));
    token = found.token;
    if (!patient) return;
    if (patientToken !== null && found.patientToken !== patientToken) {
      document.getElementById("patient-changed").hidden = false;
    }
    patientToken = found.patientToken;
  }

  // What this page itself sent is no news to it.
  document.addEventListener("htmx:after:request", (event) => {
    if (!event.detail.ctx.sourceElement.matches("[data-own-change]")) return;
    patientToken = null;
    ownChanges += 1;
  });

  async function loop() {
    await ask();
    setTimeout(loop, wait);
  }

  document.addEventListener("visibilitychange", ask);
  loop();
})();
