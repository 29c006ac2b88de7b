"""Typed, frozen settings. Everything that differs between installations is read here, once.

A value comes from an environment variable, from the file that ``NAME_FILE`` names, or from a Docker or
Kubernetes secrets directory (``/run/secrets/<name>``), in this order, and may be a reference to a store of
secrets (``config_sources.py``). In production the process refuses to
start while a secret is missing, short or a placeholder, and says which one and how to make one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from config_sources import ConfigurationError, NamedFiles, References, read_anew
from config_urls import (
    at_the_primary,
    check_model_name,
    check_model_url,
    check_sink_url,
    is_folder_url,
    is_safe_address,
    parse_bucket_url,
    parse_smtp_url,
    with_role,
)

__all__ = ["ConfigurationError"]  # beside all that is defined here

Network = IPv4Network | IPv6Network

PRODUCT_NAME = "Sigilo"
PRODUCT_VERSION = "1.0.0"

PLACEHOLDER = re.compile(r"change.?me|placeholder|example|secret123|password|^x+$|^0+$|<.*>", re.IGNORECASE)
FORMER_KEY = re.compile(r"[^\s+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}(@[1-9][0-9]*)?")
KEEP_ALIVE = re.compile(r"(\d{1,6}(ms|s|m|h)){1,4}|\d{1,8}|-1")
NO_CACHE = NO_DRILLS = "off"
HOW_TO_MAKE = "make one with: openssl rand -base64 48"
HOW_TO_MAKE_KEY = "make one with: openssl rand -base64 32"


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
    secret_key_previous: SecretStr = SecretStr("")  # others that are accepted too, with commas or spaces
    field_key: SecretStr = SecretStr("")
    field_key_previous: SecretStr = SecretStr("")  # others that open and find too, with commas or spaces
    audit_signing_key: SecretStr = SecretStr("")
    # Verifier keys that signed before it did, each with the last event that it signed: name+id+key@4711
    audit_former_keys: Annotated[tuple[str, ...], NoDecode] = ()
    # The same of the keys that signed manifests of backups, as `sigilo backup key` printed them.
    backup_former_keys: Annotated[tuple[str, ...], NoDecode] = ()

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
    cache_url: SecretStr = SecretStr("")  # of a Redis that may forget at any time; empty: REDIS_URL's; off: no cache
    # Between SIGTERM and the stop of `sigilo web`: longer than whoever sends requests here waits to ask /readyz again.
    drain_seconds: Annotated[float, Field(ge=0, le=300)] = 5.0
    static_folder: str = ""  # where a proxy finds static files, of this release and former ones; empty: nowhere
    web_workers: int = 2  # web processes that share each quota while Redis is away

    public_url: str = ""
    smtp_url: SecretStr = SecretStr("")  # smtp://login:password@host:587?from=clinic@example.org, or smtps://
    admin_digest: Literal["daily", "weekly", "off"] = "weekly"  # mail to administrators about how all of it stands
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
    backup_url: str = ""  # file:///folder or s3://bucket/prefix; SIGILO_HOME/backups without it
    backup_keep_daily: Annotated[int, Field(ge=1, le=3660)] = 7
    backup_keep_weekly: Annotated[int, Field(ge=0, le=520)] = 4
    backup_keep_monthly: Annotated[int, Field(ge=0, le=360)] = 12
    backup_lock_days: Annotated[int, Field(ge=0, le=36500)] = 7  # in a bucket with object lock: nobody deletes sooner
    # Folder of the keys that drills open backups with; SIGILO_HOME/drill without it; off: nothing is drilled here.
    drill_keys: str = ""
    drill_key_days: Annotated[int, Field(ge=1, le=3660)] = 90
    drill_database_url: SecretStr = SecretStr("")  # another server to restore into; DATABASE_URL's without it
    drill_room_mib: Annotated[int, Field(ge=0)] = 0  # that a drill may take there; 0: what its disk has, where it is
    # Of WAL that a drill may make on a server that archives every change: a sixteenth of pgBackRest's queue.
    drill_archived_mib: Annotated[int, Field(ge=0)] = 512
    backup_run_minutes: Annotated[int, Field(ge=10, le=1380)] = 110  # of one run: a backup, drills, deletions
    postgres_programs: str = ""  # folders with pg_dump and pg_restore, as in PATH; looked for where Debian has them too
    ollama_url: str = ""  # http://127.0.0.1:11434: Ollama of one's own; empty: rules alone write and suggest
    ai_model: str = "llama3.2:3b"
    ai_timeout_seconds: Annotated[int, Field(ge=5, le=3600)] = 240  # for a whole answer; half of it for its first word
    ai_answer_tokens: Annotated[int, Field(ge=64, le=16384)] = 800
    ai_context_tokens: Annotated[int, Field(ge=1024, le=262144)] = 8192  # prompt and answer; memory grows with it
    ai_keep_alive: str = "10m"  # how long the model stays in memory after an answer, as Ollama has it; -1: for ever
    ai_user_quota: str = "30/hour"  # questions of one person
    ai_clinic_quota: str = "200/hour"  # … and of everybody together
    ai_ttl_hours: Annotated[int, Field(ge=1, le=720)] = 48  # how long prompts and answers that nobody accepted are kept
    ai_parallel: Annotated[int, Field(ge=1, le=64)] = 1  # answers at a time: one for each graphics card
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
    metrics_host: str = "127.0.0.1"  # where workers and the scheduler listen for Prometheus …
    worker_metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0  # … and at which ports; 0: nowhere
    scheduler_metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    otel_exporter_otlp_endpoint: str = ""  # of a collector that speaks OTLP over HTTP; empty: nothing is traced
    # Share of the traces that begin here; what belongs to one is sampled with it, or not (parentbased_traceidratio).
    otel_traces_sampler_arg: Annotated[float, Field(ge=0, le=1)] = 0.1

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        files = NamedFiles(settings_cls)
        return (init_settings, References(settings_cls, env_settings, files), env_settings, files)

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

    @field_validator("audit_former_keys", "backup_former_keys", mode="before")
    @classmethod
    def _former_keys(cls, value: Any, info: ValidationInfo) -> Any:
        value = _listed(value)
        if not all(FORMER_KEY.fullmatch(key) for key in value):
            raise ValueError(
                f"{str(info.field_name).upper()} takes keys with commas, each as `sigilo audit key --last` prints it"
            )
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

    @field_validator("backup_url")
    @classmethod
    def _backups(cls, value: str) -> str:
        if value and not is_folder_url(value):
            if urlsplit(value).scheme != "s3":
                raise ValueError("BACKUP_URL takes file:///folder or s3://bucket/prefix")
            parse_bucket_url(value)
        return value

    @field_validator("s3_endpoint_url")
    @classmethod
    def _endpoint(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (not is_safe_address(value) or parts.username or parts.query or parts.fragment):
            raise ValueError("S3_ENDPOINT_URL is https://host (or http:// on this machine), or empty for Amazon's")
        return value

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _collector(cls, value: str) -> str:
        parts = urlsplit(value)
        has_more = parts.username or parts.query or parts.fragment
        if value and (parts.scheme not in ("http", "https") or not parts.hostname or has_more):
            raise ValueError("OTEL_EXPORTER_OTLP_ENDPOINT is http://host:4318 or https://host, without a password")
        return value

    @field_validator("ollama_url")
    @classmethod
    def _model_server(cls, value: str) -> str:
        if value:
            check_model_url(value)
        return value.rstrip("/")

    @field_validator("ai_model")
    @classmethod
    def _model(cls, value: str) -> str:
        try:
            check_model_name(value)
        except ValueError as error:
            raise ValueError(f"AI_MODEL: {error}") from None
        return value

    @field_validator("ai_keep_alive")
    @classmethod
    def _keep_alive(cls, value: str) -> str:
        if not KEEP_ALIVE.fullmatch(value):
            raise ValueError("AI_KEEP_ALIVE is written 30s, 10m or 24h, or 0 (not at all) or -1 (for ever)")
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
        if self.ai_answer_tokens > self.ai_context_tokens // 2:
            problems.append("AI_ANSWER_TOKENS may be half of AI_CONTEXT_TOKENS at most: the prompt needs its place too")
        secret = self.secret_key.get_secret_value()
        if len(secret) < 32:
            problems.append(f"SECRET_KEY is missing or shorter than 32 characters: {HOW_TO_MAKE}")
        elif self.is_production and PLACEHOLDER.search(secret):
            problems.append(f"SECRET_KEY looks like a placeholder: {HOW_TO_MAKE}")
        for name in ("field_key", "audit_signing_key"):
            value = getattr(self, name).get_secret_value()
            if len(decode_key(value)) != 32:
                problems.append(f"{name.upper()} is missing or not 32 bytes in base64: {HOW_TO_MAKE_KEY}")
        problems += self._former_key_problems()
        has_url_per_role = all(
            getattr(self, f"database_url_{principal.value}").get_secret_value() for principal in Principal
        )
        if not self.database_url.get_secret_value() and not has_url_per_role:
            problems.append("DATABASE_URL is missing: postgresql://login:password@host/database")
        if not self.redis_url.get_secret_value():
            problems.append("REDIS_URL is missing: redis://:password@host:6379/0")
        if any(urlsplit(each.get_secret_value()).scheme == "s3" for each in self.checkpoint_sinks):
            problems += self._s3_problems("CHECKPOINT_SINKS")
        if urlsplit(self.backup_url).scheme == "s3":
            problems += self._s3_problems("BACKUP_URL")
        if self.is_production:
            problems += self._weak_passwords()
        return problems

    def _former_key_problems(self) -> list[str]:
        problems = []
        if any(len(each) < 32 for each in self.former_secret_keys):
            problems.append("SECRET_KEY_PREVIOUS has a key shorter than 32 characters: separate keys with commas")
        former = [decode_key(each) for each in self.former_field_keys]
        if any(len(each) != 32 for each in former):
            problems.append("FIELD_KEY_PREVIOUS has a key that is not 32 bytes in base64: separate keys with commas")
        numbers = [key_number(each) for each in (decode_key(self.field_key.get_secret_value()), *former)]
        if len(set(numbers)) != len(numbers):
            problems.append(
                "FIELD_KEY and FIELD_KEY_PREVIOUS have two keys of the same number, which no ciphertext could"
                " tell apart: name each once, and make a new key with `sigilo keys make`"
            )
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
        for name in ("database_url", "redis_url", "cache_url"):
            password = urlsplit(getattr(self, name).get_secret_value()).password or ""
            if password and (len(password) < 12 or PLACEHOLDER.search(password)):
                problems.append(f"the password in {name.upper()} is short or a placeholder: {HOW_TO_MAKE}")
        return problems

    @property
    def is_production(self) -> bool:
        return self.sigilo_env == "production"

    @property
    def cache_address(self) -> str:
        """The Redis that the cache is in; empty where there is to be none."""
        given = self.cache_url.get_secret_value()
        return "" if given == NO_CACHE else given or self.redis_url.get_secret_value()

    @property
    def former_secret_keys(self) -> tuple[str, ...]:
        """Keys that signed before, or are about to: what they signed is accepted."""
        return _keys_in(self.secret_key_previous)

    @property
    def former_field_keys(self) -> tuple[str, ...]:
        """Keys, in base64, that sealed before, or are about to: what they sealed is opened and found."""
        return _keys_in(self.field_key_previous)

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
    def backup_store(self) -> str:
        """Where backups lie: BACKUP_URL, or a folder of SIGILO_HOME as such a URL."""
        return self.backup_url or f"file://{quote(str((self.sigilo_home / 'backups').absolute()))}"

    @property
    def drill_key_folder(self) -> Path:
        """Where the private halves of the drills' keys lie, for the drills' worker alone."""
        return Path(self.drill_keys) if self.drill_keys else self.sigilo_home / "drill"

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
        return at_the_primary(own or with_role(self.database_url.get_secret_value(), principal.role))

    def url_anew(self, principal: Principal) -> str:
        """The same by what the secrets' files or stores say now; as it was where they can't be read."""
        changed = {}
        for name in (f"database_url_{principal.value}", "database_url"):
            try:
                value = read_anew(name) if getattr(self, name).get_secret_value() else None
            except ConfigurationError:
                return self.url_for(principal)
            if value is not None:
                changed[name] = SecretStr(value)
        return self.model_copy(update=changed).url_for(principal)


def decode_key(value: str) -> bytes:
    """Bytes of a base64 key; empty when it is no base64."""
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return b""


def key_number(key: bytes) -> int:
    """One byte that tells field keys apart: a ciphertext begins with it, so it says which key it needs."""
    return hashlib.sha256(b"sigilo key number" + key).digest()[0]


def _keys_in(listed: SecretStr) -> tuple[str, ...]:
    """Keys with commas or white space between them."""
    return tuple(listed.get_secret_value().replace(",", " ").split())


def _listed(value: Any) -> Any:
    """The parts of a text with commas; what is no text is a list already."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


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
