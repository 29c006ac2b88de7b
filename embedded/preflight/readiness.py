"""Before a deployment: what must be true of the installation itself."""

from __future__ import annotations

import re
import socket
import time
import uuid
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from psycopg.conninfo import conninfo_to_dict

from config import PRODUCT_NAME, PRODUCT_VERSION, Principal
from embedded.load_baseline import faults, made_at, ratios, read_baseline, read_result, regressions
from embedded.preflight.check import FailedError, NotHereError
from embedded.preflight.ground import Ground
from integrations.mail import FileMailer, MailRefused, MailUnavailable, compose, make_mailer
from services.backup_standing import LATE, STANDING, read_standing

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
WAY_BACK = re.compile(r"#+ .*\b(?:rollback|roll(?:ing)? back|go(?:ing)? back|way back)\b", re.IGNORECASE)


def backup_is_drilled(ground: Ground) -> str:
    """A backup of less than a day and two hours ago that a drill has restored, and nothing failed since."""
    with ground.connection(Principal.ANONYMOUS) as connection:
        row = connection.execute(STANDING).fetchone()
    assert row is not None  # noqa: S101  (one row, always)
    standing = read_standing(row)
    if standing.good_at is None:
        raise FailedError("no backup has been restored in a drill: run `sigilo backup create`, then `backup drill`")
    age = datetime.now(UTC) - standing.good_at
    hours = age.total_seconds() / 3600
    if standing.alerts:
        raise FailedError(f"look into {', '.join(standing.alerts)}: `sigilo backup list` says what failed")
    if age > LATE:
        raise FailedError(f"the newest that a drill restored is {hours:.0f} h old: run `sigilo backup create`")
    took = "" if standing.restore_seconds is None else f"; restoring took {standing.restore_seconds:.0f} s (RTO)"
    return f"made {hours:.1f} h ago (RPO), restored in a drill{took}"


def servers_are_private(ground: Ground) -> str:
    """PostgreSQL and Redis have no address that the world could reach."""
    settings = ground.settings
    database = conninfo_to_dict(settings.url_for(Principal.STAFF))
    named = str(database.get("hostaddr") or database.get("host") or "")
    hosts = {f"PostgreSQL ({host})": host for host in named.split(",") if host and not host.startswith("/")}
    redis = urlsplit(settings.redis_url.get_secret_value())
    if redis.scheme != "unix" and redis.hostname:
        hosts[f"Redis ({redis.hostname})"] = redis.hostname
    public = []
    for what, host in hosts.items():
        found = {str(answer[4][0]) for answer in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
        public += [f"{what} is at {each}" for each in sorted(found) if ip_address(each.partition("%")[0]).is_global]
    if public:
        raise FailedError(f"{'; '.join(public)}: a public address; move it into a network of its own")
    return f"{', '.join(hosts)}: private addresses" if hosts else "both behind sockets of this machine"


def mail_is_taken(ground: Ground) -> str:
    """A real message to the operator, handed to the server that alerts and digests go through."""
    settings, recipient = ground.settings, ground.given.mail_to
    mailer = make_mailer(settings)
    if mailer is None:
        raise FailedError("SMTP_URL or PUBLIC_URL is not set: nobody would be told of anything")
    if isinstance(mailer, FileMailer):
        raise NotHereError("mail goes into a folder while SMTP_URL is not set")
    if not recipient:
        raise NotHereError("sends a test mail: say to whom with --mail-to")
    number = uuid.uuid4().hex
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    message = compose(
        sender=mailer.sender, sender_name=settings.clinic_name, recipient=recipient, message_id=f"preflight-{number}",
        subject=f"{PRODUCT_NAME}: test of mail alerts", text=f"sigilo preflight sent this at {now}. Nothing is to do.",
    )  # fmt: skip
    server = urlsplit(settings.smtp_url.get_secret_value()).hostname
    began = time.perf_counter()
    try:
        mailer.send(message, recipient)
    except MailRefused as error:
        raise FailedError(f"{server} refuses it ({error}): check the addresses in SMTP_URL and --mail-to") from None
    except MailUnavailable as error:
        raise FailedError(f"{server} does not take it ({error}): check SMTP_URL") from None
    took = (time.perf_counter() - began) * 1000
    return f"{server} took preflight-{number[:8]}… in {took:.0f} ms: look whether it came"


def load_is_as_before(ground: Ground) -> str:
    """A run of a hundred people on a machine like the one in use, beside the run that is kept with this program."""
    path = ground.given.load_result
    if path is None:
        raise NotHereError("needs a run: `make load` on a machine like this one, then --load-result load-result.json")
    result, baseline = read_result(path), read_baseline()
    if result["product"] != PRODUCT_VERSION:
        raise FailedError(f"{path} is of {result['product']}, not of {PRODUCT_VERSION}: run `make load` again")
    wrong = [*faults(result), *regressions(result, baseline)]
    if wrong:
        raise FailedError(f"{'; '.join(wrong)}: docs/baseline.md says how to find out why")
    slowest = max((ratio for *_, ratio in ratios(result, baseline)), default=1.0)
    return (
        f"{result['users']} users, {result['requests']} requests, no errors, {made_at(result):%Y-%m-%d}; at most"
        f" {slowest:.2f} times the baseline's times"
    )


def way_back_is_written(ground: Ground) -> str:
    """Somebody at two in the morning finds in the documentation how to go back."""
    if not DOCS.is_dir():
        raise NotHereError("the documentation is not here: look into docs/ of the release")
    for path in sorted(DOCS.glob("*.md")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if WAY_BACK.match(line):
                return f"docs/{path.name}, line {number}: {line.strip()[:80]}"
    raise FailedError("no heading in docs/ says how to roll back to the release before: write it down")
