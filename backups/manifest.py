"""What a backup is, signed: a note (``services/signed_note.py``) over ``sigilo-backup/1`` and a line of JSON.

The key is not the trail's but derived from it for this alone, and so is the name: neither a checkpoint passes for a
manifest nor a manifest for a checkpoint. Nothing in it is about a patient: it lies in the clear beside the backup.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

import orjson
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from backups.errors import BackupFailed
from config import Settings, decode_key
from services.audit_checkpoint import PATH, named_keys, origin_of
from services.signed_note import NoteError, Signer, VerifierKey, open_note, refuse_retired

FORMAT = "sigilo-backup/1"
PURPOSE = b"sigilo backup manifests"
DATABASE, FILES, KEYS = "database", "files", "keys"


@dataclass(frozen=True, slots=True)
class Part:
    """A stored file: ``kind`` is ``database``, ``files`` or ``keys``; ``size`` in bytes; ``sha256`` in hex.
    ``contains``: bytes before packing."""

    kind: str
    name: str
    size: int
    sha256: str
    contains: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """``seconds``: how long it took; ``head``: number and chain hash (hex) of the trail's newest event; ``server``: as
    server_version_num has it; ``recovery`` and ``drill``: whom it is encrypted to, the first empty without one;
    ``samples``: as ``backups/samples.py`` seals them, empty in the first manifests; ``room``: bytes that the database
    took on its disk, indexes included, 0 in the first manifests."""

    id: uuid.UUID
    origin: str
    started_at: datetime
    finished_at: datetime
    seconds: float
    application: str
    revision: str
    server: int
    head: tuple[int, str]
    recovery: str
    drill: str
    tables: dict[str, int]
    parts: tuple[Part, ...]
    samples: str = ""
    room: int = 0

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    @property
    def rows(self) -> int:
        """Of all tables together."""
        return sum(self.tables.values())

    def part(self, kind: str) -> Part | None:
        return next((part for part in self.parts if part.kind == kind), None)

    @property
    def database(self) -> Part:
        found = self.part(DATABASE)
        assert found is not None  # noqa: S101  (``parse`` lets none pass without)
        return found

    def text(self) -> str:
        body = orjson.dumps(asdict(self), option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z)
        return f"{FORMAT}\n{body.decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Manifest:
        """Raises BackupFailed. A member that is not known here is a newer program's, and left out: whatever must not be
        left out takes another FORMAT."""
        first, _, rest = text.partition("\n")
        if first != FORMAT:
            raise BackupFailed("This is signed, and no manifest of a backup that this version reads.")
        try:
            found: dict[str, Any] = orjson.loads(rest)
            parts = tuple(Part(**_known(Part, part)) for part in found.pop("parts"))
            number, head = found.pop("head")
            began, ended = (datetime.fromisoformat(found.pop(name)) for name in ("started_at", "finished_at"))
            made = cls(
                id=uuid.UUID(found.pop("id")), head=(int(number), head), parts=parts, started_at=began,
                finished_at=ended, **_known(cls, found),
            )  # fmt: skip
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BackupFailed("This manifest is none: a field is missing or malformed.") from error
        if made.part(DATABASE) is None:
            raise BackupFailed("This manifest names no dump of the database.")
        return made


def _known(kind: type[Manifest | Part], members: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in members.items() if name in names}


def manifest_signer(settings: Settings) -> Signer:
    """A key of its own, derived from AUDIT_SIGNING_KEY, under a name of its own, with BACKUP_FORMER_KEYS. Raises
    Invalid for one that is none."""
    root = decode_key(settings.audit_signing_key.get_secret_value())
    seed = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=PURPOSE).derive(root)
    name = origin_of(settings).removesuffix(PATH) + "/backup"
    return Signer(name, seed, tuple(named_keys(settings.backup_former_keys)))


def open_manifest(note: str, keys: Sequence[VerifierKey]) -> Manifest:
    """The manifest in ``note`` when one of ``keys`` signed it. Raises BackupFailed."""
    try:
        text, signers = open_note(note, keys)
        manifest = Manifest.parse(text)
        refuse_retired(signers, manifest.head[0])
    except NoteError:
        raise BackupFailed(
            "The manifest is not signed by a key that is trusted here, or was changed: it is another installation's, or"
            " damaged. `sigilo backup key` prints the key of an installation; --key names one to trust."
        ) from None
    return manifest
