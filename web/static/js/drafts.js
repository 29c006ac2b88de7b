// Keeps what somebody writes: a draft on the server every few seconds, nothing in the browser. Not left to htmx, for
// a draft is saved while the page goes away (keepalive), one save waits for another, and a save that reached nobody is
// tried again. Texts stand in templates/drafts/_states.html.
"use strict";

(() => {
  const AFTER_MS = 2000; // from the first letter that is not kept yet, so that steady typing is saved as well
  const AGAIN_MS = 4000;
  const AT_MOST_MS = 3000; // how long the button waits for a draft that is on its way
  const KEEPALIVE_MOST = 60_000; // bytes: browsers refuse more of what outlives its page
  let timer = null;
  let isSaving = false;
  let onItsWay = Promise.resolve();
  let typed = 0; // counts changes of the text
  let kept = 0; // the change up to which the draft holds it
  let tried = 0; // the change up to which the server was sent it, whatever came of that
  let isLeaving = false; // the text is being saved as a record, or thrown away on purpose
  let needsToken = false; // the session that this form was shown in has ended
  let hasRetried = false;
  let refusals = 0; // how often there was no token for this form
  let isRefused = false; // as it is: sent again once something else is typed, not every few seconds for ever

  const formNow = () => document.querySelector("form[data-drafts]");
  const isDirty = () => typed !== kept && !isLeaving && formNow() !== null;

  function say(what) {
    document.querySelectorAll("#draft-state [data-says]").forEach((each) => { each.hidden = each.dataset.says !== what; });
  }

  function saveSoon(milliseconds) {
    if (timer === null) timer = setTimeout(() => save(), milliseconds);
  }

  function take(html) {
    const place = document.querySelector("#draft-state [data-says=saved]");
    const form = formNow();
    if (!place || !form) return;
    place.innerHTML = html; // our own template: nothing that anybody typed is in it
    const known = place.querySelector("[data-draft-id]");
    if (!known) return;
    form.elements.draftId.value = known.dataset.draftId;
    form.elements.draftRevision.value = known.dataset.revision;
  }

  // ``isOurs``: the page saves by itself, which is no sign of life (SECURITY 4). Nor is sending once more what was
  // sent before: nobody wrote anything since.
  function save({ isOurs = false, keepalive = false } = {}) {
    clearTimeout(timer);
    timer = null;
    if (isDirty() && (!isSaving || keepalive)) onItsWay = send(isOurs || tried === typed, keepalive);
  }

  async function send(isOurs, keepalive) {
    const form = formNow();
    if (needsToken && !keepalive && !(await renew())) return saveSoon(AGAIN_MS);
    isSaving = true;
    const upTo = typed;
    tried = typed;
    const headers = { Accept: "text/html", "HX-Request": "true" };
    if (isOurs) headers["Sigilo-Background"] = "1";
    try {
      const body = new URLSearchParams(new FormData(form));
      const outlives = keepalive && body.toString().length < KEEPALIVE_MOST;
      const answer = await fetch("/drafts", { method: "POST", body, headers, keepalive: outlives });
      await settle(answer, upTo);
    } catch {
      say("unreachable");
      saveSoon(AGAIN_MS);
    } finally {
      isSaving = false;
      if (isDirty() && !isRefused) saveSoon(AFTER_MS);
    }
  }

  async function settle(answer, upTo) {
    if (answer.ok) {
      kept = upTo;
      hasRetried = false;
      take(await answer.text());
      say("saved");
      document.dispatchEvent(new CustomEvent("sigilo:session", { detail: answer.headers }));
    } else if (answer.status === 401) {
      needsToken = true;
      say("signed-out");
      document.dispatchEvent(new CustomEvent("sigilo:signed-out"));
      saveSoon(AGAIN_MS);
    } else if (answer.status === 403 && !hasRetried) {
      hasRetried = await renew();
      needsToken = !hasRetried;
      saveSoon(hasRetried ? 0 : AGAIN_MS);
    } else if (answer.status === 429 || answer.status >= 500) {
      say("unreachable");
      saveSoon(1000 * Number(answer.headers.get("Retry-After") || 0) || AGAIN_MS);
    } else {
      isRefused = true;
      say("refused");
    }
  }

  // Signing in again changed the session, and with it what its forms must carry. True when the form has it now.
  async function renew() {
    const how = await window.sigilo.renewToken();
    if (how === "renewed") needsToken = false;
    else refusals += 1;
    say(how === "renewed" ? "saved" : how);
    return how === "renewed";
  }

  function wrote(event) {
    if (!event.target.form || event.target.form !== formNow()) return;
    typed += 1;
    isRefused = false;
    saveSoon(AFTER_MS);
  }

  document.addEventListener("input", wrote);
  document.addEventListener("change", (event) => {
    wrote(event);
    if (isDirty()) save(); // a field was left
  });
  document.addEventListener("sigilo:session-ending", () => save({ isOurs: true }));
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) save({ isOurs: true, keepalive: true });
    else if (needsToken) renew();
  });
  window.addEventListener("focus", () => { if (needsToken) renew(); });
  window.addEventListener("pagehide", () => save({ isOurs: true, keepalive: true }));
  window.addEventListener("pageshow", () => { isLeaving = false; });
  window.addEventListener("beforeunload", (event) => { if (isDirty()) event.preventDefault(); });

  // Pressing the button: a draft on its way arrives first, for the form must name it (else it would stay behind, an
  // old copy of what is saved now); and where the session ended meanwhile, the form first gets what the new one asks.
  document.addEventListener("submit", (event) => {
    if (event.submitter && event.submitter.matches("[data-leaves]")) isLeaving = true;
    if (event.target !== formNow() || !(needsToken || (isSaving && !hasWaited))) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const { target, submitter } = event;
    makeReady().then((isReady) => {
      if (isReady) target.requestSubmit(submitter);
      hasWaited = false;
    });
  }, true);

  let hasWaited = false;
  async function makeReady() {
    const before = refusals;
    await Promise.race([onItsWay, new Promise((resolve) => { setTimeout(resolve, AT_MOST_MS); })]);
    hasWaited = true;
    // Told meanwhile that it can't be saved, its person presses again: the press is not carried out later by itself.
    return !needsToken || (refusals === before && renew());
  }

  const isOurForm = (event) => event.detail.ctx && event.detail.ctx.sourceElement === formNow();
  let pressed = null;
  document.addEventListener("htmx:before:request", (event) => {
    if (!isOurForm(event)) return;
    isLeaving = true;
    pressed = event.detail.ctx.request.submitter || null;
    clearTimeout(timer);
    timer = null;
  });
  document.addEventListener("htmx:after:request", async (event) => {
    if (!isOurForm(event)) return;
    const { status } = event.detail.ctx.response;
    if (status < 300) return;
    isLeaving = false;
    if (isDirty()) saveSoon(AFTER_MS);
    if (status === 401) {
      needsToken = true;
      say("signed-out");
    } else if (status === 403 && !hasRetried) {
      // Perhaps only the token is another session's: then the same press works with the new one.
      const form = formNow();
      const before = form.elements.csrf_token.value;
      needsToken = !(await renew());
      if (!needsToken && form.elements.csrf_token.value !== before) {
        hasRetried = true;
        form.requestSubmit(pressed);
      }
    }
  });
  document.addEventListener("htmx:error", (event) => {
    if (!isOurForm(event)) return;
    isLeaving = false;
    say("unreachable");
    if (isDirty()) saveSoon(AGAIN_MS);
  });
  document.addEventListener("htmx:after:swap", () => {
    const errors = document.getElementById("form-errors");
    if (!errors || errors.dataset.seen) return;
    errors.dataset.seen = "1";
    errors.focus();
  });
})();
