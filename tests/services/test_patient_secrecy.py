"""SECURITY 23: no CPF or CNS lies readable in the database, and no ciphertext opens elsewhere."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from config import Principal
from models import Patient
from models.engine import Databases
from services.errors import (
    ServiceError,
)
from services.field_encryption import FieldCipher
from tests.factories.cast import Cast, make_cpf
from tests.services.patients_at_the_desk import change, register


def test_security_23_a_dump_of_every_table_contains_no_cpf_or_cns(
    databases: Databases, cast: Cast, cipher: FieldCipher
) -> None:
    cpf, cns, passport = make_cpf(), "898001160660761", "ZX987654"
    patient_id = register(databases, cipher, cast.doctor, cpf=cpf, passport=passport, cns=cns)
    newer = make_cpf()
    change(databases, cipher, cast.doctor, patient_id, 1, cpf=newer)
    with pytest.raises(ServiceError):
        register(databases, cipher, cast.doctor2, cpf=newer)
    with databases.session(Principal.BACKUP) as session:
        tables = session.scalars(
            text(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
                "AND relkind IN ('r', 'p') AND NOT relispartition"
            )
        ).all()
        rows = 0
        for table in tables:
            for (row,) in session.execute(text(f"SELECT to_jsonb(t)::text FROM {table} t")):
                rows += 1
                for secret in (cpf, newer, cns, passport, f"{cpf[:3]}.{cpf[3:6]}.{cpf[6:9]}"):
                    assert secret not in row, table
                    assert secret.encode().hex() not in row, table
    assert rows > 10 and len(tables) > 25


def test_security_23_ciphertext_moved_to_another_row_does_not_open(
    databases: Databases, cast: Cast, cipher: FieldCipher
) -> None:
    first = register(databases, cipher, cast.doctor, cpf=make_cpf())
    second = register(databases, cipher, cast.doctor)
    with databases.session(Principal.STAFF) as session:
        stolen = session.get_one(Patient, first).cpf_cipher
        assert stolen is not None
        with pytest.raises(ValueError, match="does not belong"):
            cipher.decrypt(stolen, second)
