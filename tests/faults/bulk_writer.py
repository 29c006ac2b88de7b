"""Commits acts with their events, a few hundred in a transaction, until it is killed.

``FAULTS_URL`` is the database's, as staff. The acts are rows of a table that only this run has; an import writes its
rows and events in the same way.
"""

from __future__ import annotations

import os

import psycopg

AT_ONCE = 200
TABLE = """
CREATE TABLE IF NOT EXISTS fault_acts (id uuid PRIMARY KEY);
GRANT SELECT, INSERT ON fault_acts TO sigilo_staff
"""
ACTION = "fault.act"
URL = "FAULTS_URL"
# UUIDv7 by hand (RFC 9562): milliseconds first, so that the outbox is sealed in the order of its ids.
WRITE = """
    WITH acts AS (
        INSERT INTO fault_acts
        SELECT (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0')
            || '7' || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))::uuid
        FROM generate_series(1, %s) RETURNING id
    )
    INSERT INTO audit_outbox (id, occurred_at, action, outcome, entity_type, entity_id)
    SELECT id, clock_timestamp(), %s, 'success', 'fault', id FROM acts
"""


def main(url: str) -> None:
    with psycopg.connect(url) as connection:
        while True:
            connection.execute(WRITE, (AT_ONCE, ACTION))
            connection.commit()


if __name__ == "__main__":
    main(os.environ[URL])
