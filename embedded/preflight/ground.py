"""What the checks of one run stand on: the address, the settings where there are any, and what several of them ask
once."""

from __future__ import annotations

import math
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from config import PRODUCT_NAME, PRODUCT_VERSION, ConfigurationError, Principal, Settings, load_settings
from embedded import doctor
from embedded.errors import EmbeddedError, NotRunningError
from embedded.installation import enter_running_installation
from embedded.preflight.check import NotHereError
from embedded.smoke import Outcome as Seen
from embedded.smoke import Smoke, trusting
from models.connection import connect

TIMEOUT_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Given:
    """What the operator brings. Paths are files; ``http_url``: the address without TLS, where it is not the usual one;
    ``authority``: certificates in PEM that are trusted besides the public authorities'; ``since``: when the release was
    switched."""

    host_report: Path | None = None
    load_result: Path | None = None
    log: Path | None = None
    mail_to: str = ""
    email: str = ""
    password: str = field(default="", repr=False)
    http_url: str = ""
    metrics_url: str = ""
    prometheus_url: str = ""
    authority: str = ""
    since: datetime = field(default_factory=lambda: datetime.now(UTC) - timedelta(hours=1))


class Ground:
    """One installation, looked at from one place, once."""

    def __init__(self, url: str, environ: MutableMapping[str, str], given: Given) -> None:
        """``url`` may be empty where the settings say which it is."""
        self.given = given
        self.environ = environ
        self.left: list[str] = []  # what stays in the database because of this run
        self.kept: dict[str, object] = {}  # what was done once for several checks
        self._settings: Settings | None = None
        self.is_elsewhere = False  # no place with an installation
        try:
            enter_running_installation(environ)
            self._settings = load_settings()
        except (ConfigurationError, EmbeddedError) as error:
            self.is_elsewhere = isinstance(error, NotRunningError)
        self.url = (url or self._own_url()).rstrip("/")
        self.client = httpx.Client(
            base_url=self.url, timeout=TIMEOUT_SECONDS, trust_env=False, verify=trusting(given.authority),
            headers={"User-Agent": f"{PRODUCT_NAME}-preflight/{PRODUCT_VERSION}", "Accept": "application/json"},
        )  # fmt: skip

    def _own_url(self) -> str:
        if self._settings is None:
            return "http://127.0.0.1:8000"
        return self._settings.public_url or f"http://127.0.0.1:{self._settings.port}"

    @property
    def settings(self) -> Settings:
        """Raises NotHereError where this is no place with the installation's settings."""
        if self._settings is None:
            raise NotHereError("needs the installation's settings: run it where they are")
        return self._settings

    @property
    def is_over_tls(self) -> bool:
        return urlsplit(self.url).scheme == "https"

    @cached_property
    def found(self) -> dict[str, doctor.Finding]:
        """What ``sigilo doctor`` finds, by name."""
        return {finding.name: finding for finding in doctor.examine(self.environ)}

    @cached_property
    def seen(self) -> dict[str, Seen]:
        """What ``sigilo smoke`` sees, by name."""
        smoke = Smoke(
            self.url, email=self.given.email, password=self.given.password, authority=self.given.authority
        )
        return {outcome.name: outcome for outcome in smoke.run()}

    @contextmanager
    def connection(self, principal: Principal) -> Iterator[psycopg.Connection[Any]]:
        """In autocommit, as ``principal``."""
        with connect(self.settings.url_for(principal), connect_timeout=5, autocommit=True) as connection:
            yield connection

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """The web server's, by name. Raises NotHereError where nobody shows them."""
        token, port = "", ""
        if self._settings is not None:
            token, port = self._settings.metrics_token.get_secret_value(), str(self._settings.port)
        places = [self.given.metrics_url] if self.given.metrics_url else [f"{self.url}/metrics"]
        if port and not self.given.metrics_url:
            places.append(f"http://127.0.0.1:{port}/metrics")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        for place in places:
            try:
                answer = self.client.get(place, headers=headers)
            except httpx.HTTPError:
                continue
            if answer.status_code == httpx.codes.OK and "sigilo_" in answer.text:
                return {family.name: family for family in text_string_to_metric_families(answer.text)}
        raise NotHereError("nobody shows metrics here: set METRICS_TOKEN or METRICS_NETWORKS, or give --metrics-url")

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of ``name`` with ``labels``; NaN where there is none."""
        family = self.metrics.get(name.removesuffix("_total"))
        values = [
            sample.value
            for sample in (family.samples if family is not None else [])
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(values) if values else math.nan
