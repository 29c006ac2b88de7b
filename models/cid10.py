"""The CID-10 table: the codes of the release in force, and every release that ever was."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, Computed, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, PrimaryKey
from models.patient import one_of

ORIGINS = ("DATASUS", "DEMO")  # a table somebody brought, or the few codes of a made-up clinic
DESCRIPTION_MAX = 400  # characters

SEARCH = "to_tsvector('portuguese'::regconfig, sigilo_fold(description))"


class Cid10Release(Base):
    """One import. The newest is in force; of those before it this row stays, and their codes went with the import.

    A record keeps the code that was chosen, not the title, so no page needs the codes of a former release: who wants
    it back imports its files again, whose digest is here.
    """

    __tablename__ = "cid10_releases"

    id: Mapped[PrimaryKey]
    origin: Mapped[str]
    sha256: Mapped[bytes]  # over the digests of both files, categories first
    categories: Mapped[int]  # rows of each file
    subcategories: Mapped[int]
    imported_at: Mapped[CreatedAt]
    replaced_at: Mapped[datetime | None]
    in_force: Mapped[bool] = mapped_column(server_default=text("true"), default=True)

    __table_args__ = (
        Index("uq_cid10_releases_in_force", "in_force", unique=True, postgresql_where=text("in_force")),
        CheckConstraint(one_of("origin", ORIGINS), "origin_known"),
        CheckConstraint("in_force = (replaced_at IS NULL)", "replaced"),
        CheckConstraint("octet_length(sha256) = 32", "digest_length"),
    )


class Cid10Code(Base):
    """One code of the release in force, written ``I10`` or ``E11.9``.

    ``classification``: ``+`` (dagger, the cause) or ``*`` (asterisk, a manifestation, never alone); ``refers_to``: the
    other half of such a pair; ``replaces``: codes that are now part of this one. The last two as DATASUS writes them.
    """

    __tablename__ = "cid10_codes"

    code: Mapped[str] = mapped_column(primary_key=True)
    release_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("cid10_releases.id"))
    category: Mapped[str]  # its own code for a category
    is_subdivided: Mapped[bool]  # a category whose subcategories are what one codes with
    description: Mapped[str]
    short_description: Mapped[str | None]
    sex: Mapped[str | None]  # the only one it is for
    causes_death: Mapped[bool]  # False: unlikely as the cause of a death
    classification: Mapped[str | None]
    refers_to: Mapped[str | None]
    replaces: Mapped[str | None]
    search: Mapped[str] = mapped_column(TSVECTOR, Computed(SEARCH, persisted=True), deferred=True)

    __table_args__ = (
        Index("ix_cid10_codes_search", "search", postgresql_using="gin"),
        CheckConstraint("code ~ '^[A-Z][0-9]{2}([.][0-9])?$'", "code_form"),
        CheckConstraint("category = left(code, 3)", "category_of_code"),
        CheckConstraint("NOT is_subdivided OR code = category", "categories_are_subdivided"),
        CheckConstraint(f"length(description) BETWEEN 1 AND {DESCRIPTION_MAX}", "description_length"),
        CheckConstraint(one_of("sex", ("FEMALE", "MALE")), "sex_known"),
        CheckConstraint(one_of("classification", ("+", "*")), "classification_known"),
    )
