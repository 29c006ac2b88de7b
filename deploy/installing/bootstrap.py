"""Make what an installation in containers (compose.prod.yml) needs before it starts for the first time: secrets and
keys, .env, whom alerts reach. Running it again makes what is missing and changes nothing that is there.

    deploy/bootstrap                                         # asks
    SMTP_URL=… deploy/bootstrap --public-url https://…       # asks nothing

As root, or as whoever runs docker. It needs Python 3.10 and openssl. deploy/state/secrets is open to its owner alone;
each container sees the files that it is given, as a member of the group SECRETS_GROUP: it runs as an account of its
own, and a mounted file stays whose it is. Keep a copy of deploy/state and .env off the machine, with the recovery key.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from urllib.parse import quote, urlsplit

from switching.profiles import colour_of, name_colour, profiles_of
from switching.serving import COLOURS, StateFolder, SwitchError

from installing.alerts import alertmanager, public_targets
from installing.answers import (
    ask,
    checked_address,
    checked_mail,
    checked_recipient,
    checked_smtp,
    checked_watchdog,
    docker_group,
    is_inner,
    own_group,
)
from installing.files import InstallError, create, read_env, rewrite_env
from installing.keys import age_identity, holds
from installing.secret_files import Secrets

TOP = Path(__file__).resolve().parent.parent.parent
RENEW_DAYS = 90


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="deploy/bootstrap", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--public-url", help="the address people use: https://name")
    add("--smtp-url-file", type=Path, help="a file with SMTP_URL, which may also be a variable, or is asked for")
    add("--alerts-to", help="whom alerts and checkpoints of the trail are mailed to; by default the sender's address")
    add("--watchdog-url", default="", help="a service that calls you when signs of life stop coming")
    add("--recipient", help="age1…, of a recovery key that you made on another machine: the best way")
    add("--object-store", action="store_true", help="keys of an S3 store of your own (deploy/compose/object-store.yml)")
    add("--tls", help="'internal', or the address to give Let's Encrypt; by default as the name allows")
    add("--state", type=Path, default=TOP / "deploy" / "state", help="where to, instead of deploy/state")
    add("--env", type=Path, default=TOP / ".env", help="which file for compose, instead of .env")
    given = parser.parse_args()
    os.umask(0o022)
    try:
        Bootstrap(given).run()
    except InstallError as error:
        sys.exit(f"deploy/bootstrap: {error}")
    except UnicodeError as error:
        sys.exit(f"deploy/bootstrap: {given.env} is no UTF-8: {error}")
    except OSError as error:
        sys.exit(f"deploy/bootstrap: {error.filename or 'the system'}: {error.strerror}: nothing was written over")
    except KeyboardInterrupt:
        sys.exit("deploy/bootstrap: stopped. Run it again: it goes on where it was")


class Bootstrap:
    """One run: everything that is asked is checked before anything is written."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        self._state: Path = given.state
        self._env: Path = given.env
        self._known = read_env(self._env)
        group = self._known.get("SECRETS_GROUP", str(own_group()))
        if not group.isdigit():
            raise InstallError(f"SECRETS_GROUP in {self._env} is the number of a group")
        self._secrets = Secrets(self._state / "secrets", int(group))
        self._made: list[str] = []

    def run(self) -> None:
        """Raises InstallError, and OSError from the file system."""
        self._refuse_half()
        self._secrets.refuse_lost()
        profiles_of(self._env)
        serves = self._serves()
        public_url = checked_address(
            self._known.get("PUBLIC_URL")
            or self._given.public_url
            or ask("PUBLIC_URL", "https://sigilo.clinica.com.br")
        )
        smtp_url = self._smtp_url()
        server = checked_smtp(smtp_url)
        alerts_to = checked_mail(self._known.get("ALERTS_TO") or self._given.alerts_to or server.sender)
        alerts = alertmanager(TOP, server, alerts_to, checked_watchdog(self._given.watchdog_url))
        host = urlsplit(public_url).hostname or ""
        recipient = self._recipient()

        sinks = f"file:///var/lib/sigilo/checkpoints,mailto:{quote(alerts_to, safe='@')}"
        self._made += self._secrets.make(smtp_url, sinks, object_store=self._given.object_store)
        self._file("alertmanager/alertmanager.yml", alerts)
        tls = self._known.get("SIGILO_TLS") or self._given.tls or ("internal" if is_inner(host) else alerts_to)
        self._public_targets(public_url, is_internal=tls == "internal")
        (self._state / "caddy").mkdir(exist_ok=True)  # deploy/switch says in it who serves
        self._add_to_env({
            "COMPOSE_FILE": "compose.prod.yml", "PUBLIC_URL": public_url, "SIGILO_SITE": host,
            "SIGILO_TLS": tls, "ALERTS_TO": alerts_to,
            "BACKUP_AGE_RECIPIENT": recipient, "SECRETS_GROUP": str(own_group()), "DOCKER_GROUP": docker_group(),
        })  # fmt: skip
        if name_colour(self._env, serves) and self._env.name not in self._made:
            self._made.append(self._env.name)
        self._say()

    def _refuse_half(self) -> None:
        """A run ends with both, so where one is gone it was lost, and what would be made in its place fits nothing."""
        was_run = "SECRETS_GROUP" in self._known
        if was_run and not self._secrets.is_complete:
            raise InstallError(
                f"{self._env} is of an installation whose secrets are not in {self._secrets.folder}: put the folder"
                f" back whole, with its hidden file; for a new installation, move {self._env} away"
            )
        if self._secrets.is_complete and not was_run and not (self._given.recipient or self._recovery_key.exists()):
            raise InstallError(
                f"{self._env} is gone, which named the recovery key of the backups: put it back, or give that key's"
                " public half with --recipient age1…"
            )

    def _smtp_url(self) -> str:
        kept = self._secrets.folder / "smtp_url"
        if kept.exists():
            return kept.read_text().strip()
        if self._given.smtp_url_file:
            return str(self._given.smtp_url_file.read_text()).strip()
        example = "smtp://login:password@host:587?from=sigilo@clinica.com.br (it is not shown)"
        return os.environ.get("SMTP_URL") or ask("SMTP_URL", example, hidden=True)

    def _recipient(self) -> str:
        """Whom backups are encrypted to: as it was, as given, or whom the recovery key is for that is made now."""
        known = self._known.get("BACKUP_AGE_RECIPIENT") or self._given.recipient
        if known:
            return checked_recipient(known)
        path = self._recovery_key
        if path.exists():  # of a run that was stopped
            return path.read_text().split("public key: ")[1].split()[0]
        private, public = age_identity()
        path.parent.mkdir(parents=True, exist_ok=True)
        create(path, f"# public key: {public}\n{private}\n", 0o600)
        return public

    @property
    def _recovery_key(self) -> Path:
        return self._state / "recovery.key"

    def _file(self, name: str, text: str) -> None:
        """One that containers read and that holds no secret; the operator's from then on."""
        path = self._state / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            create(path, text, 0o644)
            self._made.append(name)

    def _public_targets(self, public_url: str, *, is_internal: bool) -> None:
        """Who gives the certificate may change after the file was made; what the operator wrote into it stays."""
        path = self._state / "prometheus" / "public.yml"
        wanted, former = (public_targets(public_url, is_internal=each) for each in (is_internal, not is_internal))
        if path.exists() and path.read_text() == former:
            path.write_text(wanted)  # the same file, which a running Prometheus is given by itself and reads again
            self._made.append("prometheus/public.yml")
        self._file("prometheus/public.yml", wanted)

    def _add_to_env(self, values: dict[str, str]) -> None:
        """Add what is missing; lines that are there stay as they are."""
        missing = {name: value for name, value in values.items() if value and name not in self._known}
        if not missing:
            return
        text = "# For docker compose. No secret stands here: see deploy/bootstrap --help.\n"
        if self._env.exists():
            text = self._env.read_text().rstrip("\n") + "\n"
        rewrite_env(self._env, text + "".join(f"{name}='{value}'\n" for name, value in missing.items()))
        self._made.append(self._env.name)

    def _serves(self) -> str:
        """Which colour `docker compose up` is to start: the one that people are sent to, whatever .env says, which may
        be of before a switch; where nothing was switched yet, the one that it names, else blue."""
        try:
            now = StateFolder(self._state / "caddy").read()
        except SwitchError as error:
            raise InstallError(str(error)) from None
        return now.first if now else colour_of(self._env) or COLOURS[0]

    def _say(self) -> None:
        print(f"Made: {', '.join(self._made)}." if self._made else "Everything is there; nothing was changed.")
        folder = self._secrets.folder
        for name, whose in (("postgres", "database"), ("postgres_drills", "drills' database")):
            if holds(folder / f"{name}.crt", RENEW_DAYS):
                continue
            say(
                f"The {whose}'s certificate ends within {RENEW_DAYS} days: move {name}.key and {name}.crt away,"
                f" take both out of {folder}/.made, run this again, then `docker compose up --detach --force-recreate`."
            )
        if not docker_group() and "DOCKER_GROUP" not in self._known:
            say("There is no Docker here yet: install it and run this again, so that .env gets DOCKER_GROUP.")
        if self._recovery_key.exists():
            say(
                f"{self._recovery_key} opens every backup. Print it or copy it to two places that do not burn together,"
                " then delete it here: a server that keeps it loses backups and their secrecy together."
            )
        if self._made:
            say(
                f"Keep a copy of {folder} and {self._env} where the recovery key is: without field_key, CPF, CNS and"
                " passport stay sealed for ever, and without pgbackrest.conf the archive of changes does."
            )


def say(text: str) -> None:
    print(f"\n{text}", file=sys.stderr)
