// htmx's requests: which of them are the page's own, what to do when one fails, and where the focus goes.
"use strict";

(() => {
  const offline = document.getElementById("offline");
  const problems = document.getElementById("problems");

  // What a page asks by itself is no sign of life: it must not keep a session open (SECURITY 4).
  document.addEventListener("htmx:config:request", (event) => {
    const { sourceElement, sourceEvent, request } = event.detail.ctx;
    const byItself = sourceEvent && (sourceEvent.type === "sigilo:changed" || sourceEvent.type === "every" || sourceEvent.type === "load");
    if (byItself || sourceElement.closest("[data-background]")) request.headers["Sigilo-Background"] = "1";
  });

  // Nothing moves under a pressed pointer: leaving a field by pressing a button asks for the field's message, and a message
  // that came before the button is let go would push the button away and the press would be lost. The same holds for a
  // row that is replaced. A press that never ends, as one that is let go outside of the window, holds nothing up for long.
  const LONGEST_PRESS_MS = 1000;
  let pressed = Promise.resolve();
  window.addEventListener("pointerdown", () => {
    pressed = new Promise((resolve) => {
      // The click comes right after its pointer was let go, in the same task.
      const letGo = () => setTimeout(resolve);
      for (const end of ["pointerup", "pointercancel"]) window.addEventListener(end, letGo, { capture: true, once: true });
      setTimeout(resolve, LONGEST_PRESS_MS);
    });
  }, true);
  document.addEventListener("htmx:before:request", (event) => {
    const { ctx } = event.detail;
    const ask = ctx.fetch;
    ctx.fetch = async (...asked) => {
      const answer = await ask(...asked);
      await pressed;
      return answer;
    };
  });

  // What is said of a request is said where somebody looks: an open dialog hides the page behind it. Moved no more often
  // than needed, for what moves may be read out anew.
  const home = problems.parentElement;
  function bring() {
    const place = document.querySelector("dialog[open]") || home;
    if (problems.parentElement === place) return;
    if (place === home) home.append(offline, problems);
    else place.firstElementChild.after(offline, problems);
  }
  document.addEventListener("close", bring, true);

  document.addEventListener("htmx:error", (event) => {
    // A request that reached nobody, or that nobody answered in time; answers with an error status are shown by
    // themselves.
    if (!(event.detail.error instanceof TypeError) && event.detail.error !== "timeout") return;
    bring();
    offline.hidden = false;
  });
  document.addEventListener("htmx:after:request", (event) => {
    const { response } = event.detail.ctx;
    offline.hidden = true;
    if (!response || response.status < 400 || response.headers.get("X-Request-Id")) return;
    // Said by something on the way, such as a proxy whose server restarts: no part of a page, and nothing to lose text to.
    event.preventDefault();
    bring();
    offline.hidden = false;
  });
  document.addEventListener("htmx:before:swap", bring);
  window.addEventListener("offline", () => { offline.hidden = false; });
  window.addEventListener("online", () => { offline.hidden = true; });

  // What had the focus may be gone afterwards, as the row of a visit that is over: then the focus goes to the part of
  // the page it stood in, not to the very beginning.
  let around = [];
  document.addEventListener("htmx:before:swap", () => {
    around = [];
    for (let each = document.activeElement; each && each !== document.body; each = each.parentElement) around.push(each);
  });
  function keepPlace() {
    const [had] = around;
    const place = around.find((each) => each.isConnected && each.matches("section, main, dialog"));
    const isGone = had && (!had.isConnected || had === place);
    around = [];
    if (!place || !isGone || ![document.body, place].includes(document.activeElement)) return;
    place.tabIndex = -1; // which a later swap takes off again
    place.focus();
  }

  // A problem is read out and seen; one swap later it is history.
  document.addEventListener("htmx:after:swap", (event) => {
    const { ctx } = event.detail;
    // After HX-Retarget htmx has the selector there, not the element.
    const isProblem = ctx && (ctx.target === problems || ctx.target === "#problems");
    if (ctx && !isProblem && !ctx.request.headers["Sigilo-Background"]) problems.replaceChildren();
    const wanted = document.querySelector("[data-focus]");
    if (wanted) {
      wanted.removeAttribute("data-focus");
      wanted.focus();
    }
    keepPlace();
  });
})();
