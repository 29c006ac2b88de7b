"""Addresses as settings have them: of databases, folders, buckets, web and mail servers. What is refused is never
quoted: an address may hold a password."""

from __future__ import annotations

import dataclasses
import re
from ipaddress import ip_address
from typing import Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

ADDRESS = re.compile(r"[^@\s<>,;:\"()\[\]\\]+@[^@\s<>,;:\"()\[\]\\]+")
# Names of buckets as S3 has them; in a prefix what needs no escaping, and no part that is dots alone.
BUCKET_URL = re.compile(
    r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?P<prefix>(?:/(?!\.+(?:/|$))[\w.-]+)*/?)", re.ASCII
)
LOOPBACK = ("127.0.0.1", "::1", "localhost")
MODEL_URL_SHAPE = (
    "OLLAMA_URL is the address of an Ollama of your own, such as http://127.0.0.1:11434: http or https within this"
    " machine or a private network"
)
# As Ollama has them: [host/][namespace/]name[:tag].
MODEL_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(?::\d+)?(?:/[\w.-]+)*(?::[\w.-]+)?", re.ASCII)
CLOUD_MODEL = re.compile(r".*[:-]cloud", re.IGNORECASE)
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


def with_role(url: str, role: str) -> str:
    """``url`` with the session's role set at connect, so that one login serves every principal."""
    parts = urlsplit(url)
    query = [(key, value) for key, value in parse_qsl(parts.query) if key != "options"]
    given = dict(parse_qsl(parts.query)).get("options", "")
    query.append(("options", f"{given} -c role={role}".strip()))
    return _joined(parts.scheme, parts.netloc, parts.path, urlencode(query, quote_via=quote))


def with_database(url: str, database: str) -> str:
    """``url`` with another database of the same server."""
    parts = urlsplit(url)
    query = urlencode([(key, value) for key, value in parse_qsl(parts.query) if key != "dbname"], quote_via=quote)
    return _joined(parts.scheme, parts.netloc, f"/{quote(database, safe='')}", query)


def with_password(url: str, password: str) -> str:
    """``url``, which holds none, with a password: as a parameter, whatever its hosts are and whoever logs in."""
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, urlencode({"password": password}, quote_via=quote, safe=""))))
    return _joined(parts.scheme, parts.netloc, parts.path, query)


def at_the_primary(url: str) -> str:
    """``url`` as it is, or, where it names several hosts, for the one among them that takes writes: behind a failover
    that is another one, and a standby would answer reads whose events it can't store."""
    parts = urlsplit(url)
    named = dict(parse_qsl(parts.query))
    hosts = (parts.netloc.rpartition("@")[2], named.get("host", ""), named.get("hostaddr", ""))
    if not any("," in each for each in hosts) or "target_session_attrs" in named:
        return url
    query = "&".join(filter(None, (parts.query, "target_session_attrs=read-write")))
    return _joined(parts.scheme, parts.netloc, parts.path, query)


def _joined(scheme: str, netloc: str, path: str, query: str) -> str:
    """As urlunsplit, which forgets the slashes where no host is named between them: libpq wants them."""
    return f"{scheme}://{netloc}{path}" + (f"?{query}" if query else "")


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
    if is_safe_address(url):
        return
    raise ValueError(
        "CHECKPOINT_SINKS takes file:///folder, https://host/path, mailto:somebody@host and s3://bucket/prefix, with"
        " commas"
    )


def is_safe_address(url: str) -> bool:
    """Whether it is a web address that nobody on the way reads: https, or a server on this machine."""
    parts = urlsplit(url)
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    )


def check_model_url(url: str) -> None:
    """Raises ValueError unless ``url`` may be a model's server: at a private address, encrypted or not. A name is
    looked up when it is connected to, and held to the same. Never quotes the URL."""
    try:
        parts = urlsplit(url)
        has_more = parts.username or parts.password or parts.query or parts.fragment or parts.path not in ("", "/")
        is_fine = parts.scheme in ("http", "https") and parts.hostname and not has_more and parts.port != 0
    except ValueError:  # brackets that are no IPv6 address, a port that is none
        is_fine = False
    if not is_fine:
        raise ValueError(MODEL_URL_SHAPE)
    host = str(parts.hostname)
    if host == "ollama.com" or host.endswith(".ollama.com"):
        raise ValueError("OLLAMA_URL names Ollama's cloud: what patients say stays on machines of your own")
    if _is_address(host) and not is_private_address(host):
        raise ValueError(MODEL_URL_SHAPE)


def check_model_name(name: str) -> None:
    """Raises ValueError unless ``name`` is a model's, as ``llama3.2:3b``, and not of one that runs in a cloud."""
    if not MODEL_NAME.fullmatch(name) or len(name) > 200:
        raise ValueError("a model is named as Ollama's library has it, such as llama3.2:3b")
    if CLOUD_MODEL.fullmatch(name):
        raise ValueError(f"{name} runs in Ollama's cloud: choose a model that runs on a machine of your own")


def is_private_address(address: str) -> bool:
    """Whether an IP address is of this machine or of a private network."""
    ip = ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return (ip.is_private or ip.is_loopback) and not (ip.is_unspecified or ip.is_multicast)


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


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
