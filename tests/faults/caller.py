"""An integrator who writes and reads over HTTP, remembers every answer, and sends again what got none."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests import plain_http

TIMEOUT = 15.0


@dataclass
class Caller:
    """Requests with ids of our own (the installation trusts 127.0.0.1 as a proxy), by what became of them."""

    url: str
    token: str
    answered: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    slowest: float = 0.0

    def send(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> httpx.Response | None:
        """The answer; None when the connection broke before there was one."""
        request_id = uuid.uuid4().hex
        headers = {"Authorization": f"Bearer {self.token}", "X-Request-ID": request_id}
        if key is not None:
            headers["Idempotency-Key"] = key
        try:
            answer = plain_http.request(method, f"{self.url}{path}", json=body, headers=headers, timeout=TIMEOUT)
        except httpx.TransportError:
            self.unanswered.append(request_id)
            return None
        self.slowest = max(self.slowest, answer.elapsed.total_seconds())
        (self.answered if answer.is_success else self.unanswered).append(request_id)
        return answer

    def write(self, patient_id: str, title: str = "Consulta", *, key: str | None = None) -> httpx.Response | None:
        """A new record."""
        return self.send("POST", "/api/medical-records", {"patientId": patient_id, "title": title}, key=key)
