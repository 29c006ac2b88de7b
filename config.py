"""Typed, frozen settings. Everything that differs between installations is read here, once.

A value comes from an environment variable, from the file that ``NAME_FILE`` names, or from a Docker or
Kubernetes secrets directory (``/run/secrets/<name>``), in this order. In production the process refuses to
start while a secret is missing, short or a placeholder, and says which one and how to make one.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import os
import re
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

Network = IPv4Network | IPv6Network

PRODUCT_NAME = "Sigilo"
PRODUCT_VERSION = "1.0.0"

SECRETS_DIRECTORIES = ("/run/secrets",)
PLACEHOLDER = re.compile(r"change.?me|placeholder|example|secret123|password|^x+$|^0+$|<.*>", re.IGNORECASE)
HOW_TO_MAKE = "make one with: openssl rand -base64 48"
HOW_TO_MAKE_KEY = "make one with: openssl rand -base64 32"


class ConfigurationError(Exception):
    """The settings are incomplete or contradictory; the text says which and what to do."""


class Principal(StrEnum):
    """Who a database connection acts as. Each has its own database role and its own small pool."""

    MIGRATOR = "migrator"
    STAFF = "staff"
    PATIENT = "patient"
    ANONYMOUS = "anonymous"
    WORKER = "worker"
    AUDITOR = "auditor"
    BACKUP = "backup"

    @property
    def role(self) -> str:
        """Name of the PostgreSQL role."""
        return f"sigilo_{self.value}"


class Settings(BaseSettings):
    """All settings of one process. Field names are the environment variables in lower case."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", case_sensitive=False, hide_input_in_errors=True
    )

    sigilo_env: Literal["production", "development"] = "production"
    sigilo_home: Path = Path("var")
    port: int = 8000

    secret_key: SecretStr = SecretStr("")
    field_key: SecretStr = SecretStr("")
    field_key_previous: SecretStr = SecretStr("")
    audit_signing_key: SecretStr = SecretStr("")

    database_url: SecretStr = SecretStr("")
    database_url_migrator: SecretStr = SecretStr("")
    database_url_staff: SecretStr = SecretStr("")
    database_url_patient: SecretStr = SecretStr("")
    database_url_anonymous: SecretStr = SecretStr("")
    database_url_worker: SecretStr = SecretStr("")
    database_url_auditor: SecretStr = SecretStr("")
    database_url_backup: SecretStr = SecretStr("")
    database_pool_size: int = 8
    redis_url: SecretStr = SecretStr("")
    web_workers: int = 2  # web processes that share each quota while Redis is away

    public_url: str = ""
    smtp_url: SecretStr = SecretStr("")  # smtp://login:password@host:587?from=clinic@example.org, or smtps://
    # URLs: file:///…, https://…, mailto:…, s3://bucket/prefix
    checkpoint_sinks: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    # How long nobody can delete them from a bucket: as long as the records (20 years, Lei 13.787/2018).
    checkpoint_retention_days: Annotated[int, Field(ge=1, le=36500)] = 7305
    s3_endpoint_url: str = ""  # of whatever speaks as S3 does; empty: Amazon's
    s3_region: str = "us-east-1"
    s3_access_key_id: SecretStr = SecretStr("")
    s3_secret_access_key: SecretStr = SecretStr("")
    audit_keep_months: int = Field(default=60, ge=12)  # of the trail in the database; older ones go into archives
    audit_archives: str = ""  # file:///folder for them; SIGILO_HOME/archives without it
    backup_age_recipient: str = ""  # age1…: whom archives and backups are encrypted to
    clinic_name: str = "Clínica"
    clinic_timezone: str = "America/Sao_Paulo"
    rate_limit_default: str = "20/minute"
    rate_limit_pages: str = "240/minute"
    rate_limit_live: str = "600/minute"  # ten open pages of one person, each asking once a second
    rate_limit_anonymous: str = "60/minute"
    rate_limit_login: str = "30/minute"
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = ()
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    metrics_networks: Annotated[tuple[Network, ...], NoDecode] = (
        ip_network("127.0.0.0/8"),
        ip_network("::1/128"),
    )
    metrics_token: SecretStr = SecretStr("")
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, env_settings, _NamedFiles(settings_cls), file_secret_settings)

    @field_validator("trusted_proxies", "metrics_networks", mode="before")
    @classmethod
    def _networks(cls, value: Any) -> Any:
        return tuple(ip_network(part, strict=False) for part in _listed(value)) if isinstance(value, str) else value

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _origins(cls, value: Any) -> Any:
        value = _listed(value)
        for origin in value:
            parts = urlsplit(origin)
            if origin == "*" or not parts.scheme or not parts.netloc or parts.path:
                raise ValueError("CORS_ORIGINS takes exact origins such as https://app.example.org, never *")
        return value

    @field_validator("checkpoint_sinks", mode="before")
    @classmethod
    def _sinks(cls, value: Any) -> Any:
        value = _listed(value)
        for url in value:
            check_sink_url(url.get_secret_value() if isinstance(url, SecretStr) else url)
        return value

    @field_validator("audit_archives")
    @classmethod
    def _archives(cls, value: str) -> str:
        if value and not is_folder_url(value):
            raise ValueError("AUDIT_ARCHIVES takes file:///folder")
        return value

    @field_validator("s3_endpoint_url")
    @classmethod
    def _endpoint(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (not _is_safe_address(value) or parts.username or parts.query or parts.fragment):
            raise ValueError("S3_ENDPOINT_URL is https://host (or http:// on this machine), or empty for Amazon's")
        return value

    @field_validator("clinic_timezone")
    @classmethod
    def _timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError("CLINIC_TIMEZONE must be an IANA zone such as America/Sao_Paulo") from error
        return value

    @field_validator(
        "rate_limit_default", "rate_limit_pages", "rate_limit_live", "rate_limit_anonymous", "rate_limit_login"
    )
    @classmethod
    def _rate(cls, value: str) -> str:
        parse_rate(value)
        return value

    @field_validator("smtp_url")
    @classmethod
    def _smtp(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value():
            parse_smtp_url(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _complete(self) -> Settings:
        problems = list(self._problems())
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _problems(self) -> list[str]:
        problems = []
        secret = self.secret_key.get_secret_value()
        if len(secret) < 32:
            problems.append(f"SECRET_KEY is missing or shorter than 32 characters: {HOW_TO_MAKE}")
        elif self.is_production and PLACEHOLDER.search(secret):
            problems.append(f"SECRET_KEY looks like a placeholder: {HOW_TO_MAKE}")
        for name in ("field_key", "audit_signing_key"):
            value = getattr(self, name).get_secret_value()
            if len(decode_key(value)) != 32:
                problems.append(f"{name.upper()} is missing or not 32 bytes in base64: {HOW_TO_MAKE_KEY}")
        previous = self.field_key_previous.get_secret_value()
        if previous and len(decode_key(previous)) != 32:
            problems.append(f"FIELD_KEY_PREVIOUS is not 32 bytes in base64: {HOW_TO_MAKE_KEY}")
        has_url_per_role = all(
            getattr(self, f"database_url_{principal.value}").get_secret_value() for principal in Principal
        )
        if not self.database_url.get_secret_value() and not has_url_per_role:
            problems.append("DATABASE_URL is missing: postgresql://login:password@host/database")
        if not self.redis_url.get_secret_value():
            problems.append("REDIS_URL is missing: redis://:password@host:6379/0")
        if any(urlsplit(each.get_secret_value()).scheme == "s3" for each in self.checkpoint_sinks):
            problems += self._s3_problems("CHECKPOINT_SINKS")
        if self.is_production:
            problems += self._weak_passwords()
        return problems

    def _s3_problems(self, naming: str) -> list[str]:
        """What a bucket that the setting ``naming`` names still needs."""
        pair = (self.s3_access_key_id.get_secret_value(), self.s3_secret_access_key.get_secret_value())
        if not all(pair):
            return [f"S3_ACCESS_KEY_ID or S3_SECRET_ACCESS_KEY is missing: {naming} names a bucket"]
        if self.is_production and PLACEHOLDER.search(pair[1]):
            return ["S3_SECRET_ACCESS_KEY looks like a placeholder: make a key where the bucket is"]
        return []

    def _weak_passwords(self) -> list[str]:
        """Passwords inside connection URLs that are placeholders. Peer login has none and is fine."""
        problems = []
        for name in ("database_url", "redis_url"):
            password = urlsplit(getattr(self, name).get_secret_value()).password or ""
            if password and (len(password) < 12 or PLACEHOLDER.search(password)):
                problems.append(f"the password in {name.upper()} is short or a placeholder: {HOW_TO_MAKE}")
        return problems

    @property
    def is_production(self) -> bool:
        return self.sigilo_env == "production"

    @property
    def can_send_mail(self) -> bool:
        """Whether mail with links can leave: through SMTP_URL, or into a folder while developing."""
        return not self.is_production or bool(self.smtp_url.get_secret_value() and self.public_url)

    @property
    def archive_folder(self) -> Path:
        """Where archives of the trail lie."""
        named = urlsplit(self.audit_archives).path
        return Path(unquote(named)) if named else self.sigilo_home / "archives"

    @property
    def base_url(self) -> str:
        """Where people reach this installation, without a slash at its end. Never what a request says."""
        return self.public_url.rstrip("/") or f"http://127.0.0.1:{self.port}"

    @property
    def timezone(self) -> ZoneInfo:
        return ZoneInfo(self.clinic_timezone)

    def url_for(self, principal: Principal) -> str:
        """libpq URL that connects as ``principal``: its own login, or the one login with the role set."""
        own: str = getattr(self, f"database_url_{principal.value}").get_secret_value()
        return own or with_role(self.database_url.get_secret_value(), principal.role)


class _NamedFiles(PydanticBaseSettingsSource):
    """``NAME_FILE=/path`` gives NAME its file's content, and /run/secrets/<name> does so without naming it."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        named = os.environ.get(f"{field_name.upper()}_FILE")
        paths = (
            [Path(named)]
            if named
            else [
                Path(directory) / name
                for directory in SECRETS_DIRECTORIES
                for name in (field_name, field_name.upper())
            ]
        )
        for path in paths:
            try:
                return path.read_text(encoding="utf-8").strip(), field_name, False
            except FileNotFoundError:
                if named:
                    raise ConfigurationError(
                        f"{field_name.upper()}_FILE names {path}, which does not exist"
                    ) from None
            except OSError as error:
                raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {}
        for name, field in self.settings_cls.model_fields.items():
            value, _, _ = self.get_field_value(field, name)
            if value is not None:
                found[name] = value
        return found


def with_role(url: str, role: str) -> str:
    """``url`` with the session's role set at connect, so that one login serves every principal."""
    parts = urlsplit(url)
    query = [(key, value) for key, value in parse_qsl(parts.query) if key != "options"]
    given = dict(parse_qsl(parts.query)).get("options", "")
    query.append(("options", f"{given} -c role={role}".strip()))
    return urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(query, quote_via=quote), ""))


def decode_key(value: str) -> bytes:
    """Bytes of a base64 key; empty when it is no base64."""
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return b""


LOOPBACK = ("127.0.0.1", "::1", "localhost")
SMTP_SHAPE = "SMTP_URL is written smtp://login:password@host:587?from=clinic@example.org (STARTTLS), or smtps://"


@dataclasses.dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mail is handed over. ``tls``: ``implicit``, ``starttls``, or ``none``, which only this machine may be."""

    host: str
    port: int
    tls: Literal["implicit", "starttls", "none"]
    login: str | None
    password: str | None = dataclasses.field(repr=False)
    sender: str


def _listed(value: Any) -> Any:
    """The parts of a text with commas; what is no text is a list already."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def is_folder_url(url: str) -> bool:
    """Whether ``url`` names a folder of this machine: ``file:///…``."""
    parts = urlsplit(url)
    return parts.scheme == "file" and not parts.netloc and parts.path.startswith("/")


def check_sink_url(url: str) -> None:
    """Raises ValueError, which never quotes the URL: a web address may hold a secret."""
    parts = urlsplit(url)
    if parts.scheme == "s3":
        parse_bucket_url(url)
        return
    if is_folder_url(url):
        return
    if parts.scheme == "mailto" and parts.path.count("@") == 1:
        return
    if _is_safe_address(url):
        return
    raise ValueError(
        "CHECKPOINT_SINKS takes file:///folder, https://host/path, mailto:somebody@host and s3://bucket/prefix, with"
        " commas"
    )


def _is_safe_address(url: str) -> bool:
    """Whether it is a web address that nobody on the way reads: https, or a server on this machine."""
    parts = urlsplit(url)
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    )


def parse_bucket_url(url: str) -> tuple[str, str]:
    """``s3://bucket/some/prefix`` → ``("bucket", "some/prefix/")``; no prefix is an empty one. Raises ValueError."""
    match = BUCKET_URL.fullmatch(url)
    if match is None:
        raise ValueError("a bucket is named as s3://bucket or s3://bucket/prefix")
    prefix = match["prefix"].strip("/")
    return match["bucket"], f"{prefix}/" if prefix else ""


def parse_smtp_url(url: str) -> SmtpServer:
    """Raises ValueError, which never quotes the URL: it holds a password."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    try:
        port = parts.port
    except ValueError:
        raise ValueError(SMTP_SHAPE) from None
    login = unquote(parts.username) if parts.username else None
    sender = query.get("from") or login or ""
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or not ADDRESS.fullmatch(sender):
        raise ValueError(SMTP_SHAPE)
    tls: Literal["implicit", "starttls", "none"] = "implicit" if parts.scheme == "smtps" else "starttls"
    if query.get("tls") == "none":
        if parts.hostname not in LOOPBACK:
            raise ValueError("SMTP_URL may say tls=none for a server on this machine only")
        tls = "none"
    password = unquote(parts.password) if parts.password else None
    return SmtpServer(parts.hostname, port or (465 if tls == "implicit" else 587), tls, login, password, sender)


ADDRESS = re.compile(r"[^@\s<>,;:\"()\[\]\\]+@[^@\s<>,;:\"()\[\]\\]+")
# Names of buckets as S3 has them; in a prefix what needs no escaping, and no part that is dots alone.
BUCKET_URL = re.compile(
    r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?P<prefix>(?:/(?!\.+(?:/|$))[\w.-]+)*/?)", re.ASCII
)
RATE = re.compile(r"^([1-9]\d{0,8})/(second|minute|hour|day)$")
RATE_SHAPE = "a quota is written N/second, N/minute, N/hour or N/day, such as 20/minute"
SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


@lru_cache(maxsize=1024)
def parse_rate(text: str) -> tuple[int, int]:
    """``"20/minute"`` → (20 requests, 60 seconds). Raises ValueError for anything else."""
    match = RATE.match(text)
    if match is None:
        raise ValueError(RATE_SHAPE)
    return int(match[1]), SECONDS[match[2]]


def load_settings(**overrides: Any) -> Settings:
    """Read the settings of this process. Raises ConfigurationError with one line that says what to do."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        details = (
            f"{'.'.join(map(str, item['loc'])).upper()}: {item['msg']}".removeprefix(": ").removeprefix(
                "Value error, "
            )
            for item in error.errors(include_input=False, include_url=False)
        )
        raise ConfigurationError("; ".join(details)) from None
