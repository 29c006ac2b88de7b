// Warns before a session ends for lack of use, and says when it has ended. Drafts are saved by drafts.js on
// "sigilo:session-ending". Only what a person does counts; other tabs tell theirs.
"use strict";

(() => {
  const ending = document.getElementById("session-ending");
  const ended = document.getElementById("session-ended");
  const WARN_SECONDS = 120;
  const idleSeconds = Number(ending.dataset.idleSeconds);
  const tabs = new BroadcastChannel("sigilo-session");
  let seen = Date.now();
  let warned = false;

  function signOfLife(isOurs) {
    seen = Date.now();
    warned = false;
    ending.hidden = true;
    if (isOurs) tabs.postMessage("seen");
  }

  function over() {
    ending.hidden = true;
    ended.hidden = false;
  }

  tabs.addEventListener("message", () => signOfLife(false));
  document.addEventListener("sigilo:signed-out", over);
  document.addEventListener("sigilo:alive", () => signOfLife(true));
  // The server counts requests that a person caused; so does this clock.
  document.addEventListener("htmx:after:request", (event) => {
    const { ctx } = event.detail;
    if (ctx.response && ctx.response.status === 401) over();
    else if (!ctx.request.headers["Sigilo-Background"]) signOfLife(true);
  });
  ending.querySelector("[data-stay]").addEventListener("click", async () => {
    const answer = await fetch("/live/stay", { headers: { Accept: "application/json" } });
    if (answer.ok) signOfLife(true);
    else if (answer.status === 401) over();
  });

  tabs.postMessage("seen");
  setInterval(() => {
    const left = Math.round(idleSeconds - (Date.now() - seen) / 1000);
    if (left <= 0) over();
    if (left <= 0 || left > WARN_SECONDS) return;
    ending.hidden = false;
    ending.querySelector("[data-countdown]").textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    if (!warned) {
      warned = true;
      document.dispatchEvent(new CustomEvent("sigilo:session-ending"));
    }
  }, 1000);
})();
