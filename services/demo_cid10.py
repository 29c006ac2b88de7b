"""The codes that a made-up clinic's records have, as a CID-10 table of its own: enough to look one up.

The codes and titles are those of the conditions that befall its patients. A table that a clinic brought stays.
"""

from __future__ import annotations

import hashlib

from sqlalchemy.orm import Session

from config import Principal, Settings
from models.engine import Databases
from services.cid10_codes import release_in_force
from services.cid10_file import Table
from services.cid10_import import import_table
from services.demo_conditions import DATA, FILES, all_conditions

SEXES = {"E28.2": "FEMALE", "N40": "MALE", "N94.6": "FEMALE", "N95.1": "FEMALE", "Z34.9": "FEMALE"}
NO_CAUSE_OF_DEATH = frozenset(
    {"B35.3", "F51.0", "H10.9", "H61.2", "J30.4", "M54.5", "M75.1", "N94.6", "Z00.0", "Z00.1", "Z30.0"}
)


def fill_demo_table(settings: Settings) -> None:
    """Put the demo's table in force, as the migrator, unless another one is."""
    databases = Databases({Principal.MIGRATOR.value: settings.url_for(Principal.MIGRATOR)}, pool_size=1)
    try:
        with databases.session(Principal.MIGRATOR) as session:
            put_demo_table(session)
    finally:
        databases.dispose()


def put_demo_table(session: Session) -> None:
    """The same within a transaction of the migrator's."""
    release = release_in_force(session)
    if release is None or release.origin == "DEMO":
        import_table(session, demo_table(), origin="DEMO")


def demo_table() -> Table:
    rows = tuple(
        {
            "code": condition.code,
            "category": condition.code[:3],
            "is_subdivided": False,
            "description": condition.name,
            "short_description": None,
            "sex": SEXES.get(condition.code),
            "causes_death": condition.code not in NO_CAUSE_OF_DEATH,
            "classification": None,
            "refers_to": None,
            "replaces": None,
        }
        for condition in all_conditions()
    )
    digest = hashlib.sha256(b"".join((DATA / name).read_bytes() for name in FILES)).digest()
    return Table(rows=rows, categories=0, subcategories=len(rows), sha256=digest)
