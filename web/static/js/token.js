// A form's token belongs to one session. Signing in again in another tab makes a new one, and with it the forms of a
// page that was open before get a token that works: renewToken() answers "renewed", "signed-out", "somebody-else" or
// "unreachable". "sigilo:session" tells session.js what the answer says of the new session.
"use strict";

// A form that was refused for its token is sent again by its person: by then it has one that fits.
document.addEventListener("htmx:after:request", (event) => {
  const { response, sourceElement } = event.detail.ctx;
  if (response && response.status === 403 && sourceElement.closest("form")) window.sigilo.renewToken();
});
// Whoever comes back from another tab may have signed in there, or typed the password again, which makes tokens old too.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && document.querySelector("form[data-unsaved]")) window.sigilo.renewToken();
});

window.sigilo = {
  async renewToken() {
    try {
      const answer = await fetch("/live/form-token", { headers: { Accept: "application/json", "Sigilo-Background": "1" } });
      if (answer.status === 401) return "signed-out";
      if (!answer.ok) return "unreachable";
      const { token, user } = await answer.json();
      if (user !== document.body.dataset.user) return "somebody-else";
      document.querySelectorAll("input[name=csrf_token]").forEach((input) => { input.value = token; });
      document.body.setAttribute("hx-headers:inherited", JSON.stringify({ "X-CSRFToken": token }));
      document.dispatchEvent(new CustomEvent("sigilo:session", { detail: answer.headers }));
      return "renewed";
    } catch {
      return "unreachable";
    }
  },
};
