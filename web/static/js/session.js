// Counts down to the end of the session, warns before it, and at the end takes what is confidential off the screen.
// How long is left is the server's to say: the page carries it, and so does every answer (Sigilo-Session). Drafts are
// saved by drafts.js on "sigilo:session-ending". Only what a person does counts; other tabs tell theirs.
"use strict";

(() => {
  const ending = document.getElementById("session-ending");
  const ended = document.getElementById("session-ended");
  const main = document.getElementById("main");
  const again = ended.querySelector("a");
  const WARN_SECONDS = 120;
  const LAST_SECONDS = 10; // what was written after the warning is saved once more
  const ANSWER_MS = 5000;
  const KEEPS_TEXT = "form[data-drafts], form[data-unsaved]";
  const { user } = document.body.dataset;
  const { title } = document;
  const tabs = new BroadcastChannel("sigilo-session");
  let idleAt = 0; // in ms: when the session ends if nothing more is done …
  let endAt = 0; // … and whatever is done
  let warnSeconds = 0; // half of a short idle time, or it would be a warning all the time
  let told = 0; // of the two moments at which drafts are to be saved
  let isAsking = false;
  let isOver = false;

  function know({ idle, end }) {
    idleAt = Date.now() + 1000 * idle;
    endAt = Date.now() + 1000 * end;
    warnSeconds = Math.min(WARN_SECONDS, Math.max(warnSeconds, idle / 2));
    tabs.postMessage({ user, idleAt, endAt });
    look();
  }

  function learn(headers) {
    const found = /^idle=(\d+), end=(\d+), user=(\S+)$/.exec(headers.get("Sigilo-Session") || "");
    // Somebody else has signed in in this browser, or the same person in another role: this page is not theirs.
    if (found && found[3] !== user) over();
    else if (found) know({ idle: Number(found[1]), end: Number(found[2]) });
    return found !== null;
  }

  function look() {
    const left = Math.ceil((Math.min(idleAt, endAt) - Date.now()) / 1000);
    if (left <= 0) {
      if (!isOver) ask();
      return;
    }
    if (isOver) revive();
    if (isOver) return;
    const moment = left > warnSeconds ? 0 : left > LAST_SECONDS ? 1 : 2;
    if (moment === 0) leave();
    ending.hidden = moment === 0;
    const why = endAt <= idleAt ? "lasted" : "idle";
    ending.querySelectorAll("[data-why]").forEach((each) => { each.hidden = each.dataset.why !== why; });
    ending.querySelector("[data-if-drafts]").hidden = document.querySelector("form[data-drafts]") === null;
    ending.querySelectorAll("[data-countdown]").forEach((each) => {
      each.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    });
    if (moment > told) document.dispatchEvent(new CustomEvent("sigilo:session-ending"));
    told = moment;
  }

  // By this clock it is over. The clock may have been set, and another tab may have worked on while this one slept:
  // the server is asked, which is no sign of life. Who can't ask it hides as well.
  async function ask() {
    if (isAsking) return;
    isAsking = true;
    try {
      const headers = { Accept: "application/json", "Sigilo-Background": "1" };
      const answer = await fetch("/live", { headers, signal: AbortSignal.timeout(ANSWER_MS) });
      if (!answer.ok || !learn(answer.headers)) over();
    } catch {
      over();
    } finally {
      isAsking = false;
    }
  }

  // Whoever passes by sees nothing more. What somebody was writing stays in its form, and nothing beside it.
  function over() {
    if (isOver) return;
    isOver = true;
    idleAt = 0;
    leave();
    ending.hidden = true;
    ended.hidden = false;
    document.title = ended.dataset.title;
    document.querySelectorAll("dialog[open]").forEach((dialog) => dialog.close());
    document.querySelectorAll("#problems, #toasts").forEach((place) => place.replaceChildren());
    const kept = main.querySelector(KEEPS_TEXT);
    if (!kept) {
      main.replaceChildren();
      again.focus();
      return;
    }
    again.href = "/login"; // not back to this page: it stays open, and the text with it
    again.target = "_blank";
    kept.querySelectorAll("[data-clinical]").forEach(conceal);
    for (let each = kept; each !== main; each = each.parentElement) {
      for (const sibling of each.parentElement.children) if (sibling !== each) conceal(sibling);
    }
  }

  function conceal(element) {
    if (element.hidden) return;
    element.hidden = true;
    element.dataset.concealed = "";
  }

  // The same person signed in again. A page that kept a text goes on; another has nothing left to show.
  function revive() {
    if (!main.querySelector(KEEPS_TEXT)) return;
    isOver = false;
    told = 0;
    ended.hidden = true;
    document.title = title;
    main.querySelectorAll("[data-concealed]").forEach((each) => {
      each.hidden = false;
      delete each.dataset.concealed;
    });
  }

  function renew() {
    if (main.querySelector(KEEPS_TEXT)) window.sigilo.renewToken();
  }

  // A form that keeps no draft would be lost with a session that has ended: it waits for its person to come back.
  document.addEventListener("submit", (event) => {
    if (!isOver || !event.target.matches("form[data-warns]")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const { target, submitter } = event;
    window.sigilo.renewToken().then((found) => {
      if (found === "renewed") target.requestSubmit(submitter);
      else again.focus();
    });
  }, true);

  // Focus goes back where it was before somebody went to the button that disappears now.
  let before = null;
  ending.addEventListener("focusin", (event) => {
    if (!ending.contains(event.relatedTarget)) before = event.relatedTarget;
  });
  function leave() {
    if (ending.contains(document.activeElement)) (before && before.isConnected ? before : main).focus();
  }

  tabs.addEventListener("message", ({ data }) => {
    if (data.user !== user) over();
    else if (isOver) renew();
    else {
      ({ idleAt, endAt } = data);
      look();
    }
  });
  document.addEventListener("sigilo:signed-out", over);
  document.addEventListener("sigilo:session", (event) => learn(event.detail));
  document.addEventListener("htmx:after:request", (event) => {
    const { response } = event.detail.ctx;
    if (response && response.status === 401) over();
    else if (response) learn(response.headers);
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    if (isOver) renew();
    else look();
  });
  window.addEventListener("pageshow", (event) => { if (event.persisted) look(); });
  ending.querySelector("[data-stay]").addEventListener("click", async () => {
    try {
      const answer = await fetch("/live/stay", { headers: { Accept: "application/json" } });
      if (answer.status === 401) over();
      else learn(answer.headers);
    } catch {
      document.getElementById("offline").hidden = false;
    }
  });

  know({ idle: Number(ending.dataset.idleSeconds), end: Number(ending.dataset.endSeconds) });
  setInterval(look, 1000);
})();
