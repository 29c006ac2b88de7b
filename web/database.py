"""Flask-SQLAlchemy with one bind per kind of principal: a request's session connects as who acts in it.

The engines are ``Databases``' own, so each principal has one pool in a process, shared with audited reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask, g
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session as FlaskSession
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.orm import Session, SessionTransaction

from config import Principal
from models import Base
from models.engine import commit
from models.user import Role
from services.actor import Actor
from services.errors import ServiceError
from web.runtime import WEB_PRINCIPALS, Runtime, runtime

NAME_PATIENT = text("SELECT set_config('sigilo.patient_id', :patient, true)")


class PrincipalSession(FlaskSession):  # type: ignore[misc]
    """A session whose connection's database role is that of the request's actor."""

    def get_bind(self, *_: Any, bind: Any = None, **__: Any) -> Engine | Connection:
        return bind if bind is not None else runtime().databases.engine(principal_of(g.get("actor")))


class Database(SQLAlchemy):  # type: ignore[misc]
    """The extension over engines that exist already and models that stand on a plain declarative base."""

    def _make_declarative_base(self, model_class: Any, disable_autonaming: bool = False) -> Any:
        """The models' own base as it is. The extension would derive another from it, for models of its own."""
        return model_class

    def _make_engine(self, bind_key: str | None, options: dict[str, Any], app: Flask) -> Engine:
        here: Runtime = app.extensions["sigilo"]
        return here.databases.engine(bind_key or Principal.ANONYMOUS)


db = Database(
    model_class=Base,
    session_options={"class_": PrincipalSession, "expire_on_commit": False},
    add_models_to_shell=False,
)


def register_database(app: Flask) -> None:
    # The address says only which driver; connecting is the engines' own business.
    app.config["SQLALCHEMY_BINDS"] = {principal.value: "postgresql+psycopg://" for principal in WEB_PRINCIPALS}
    db.init_app(app)


def principal_of(actor: Actor | None) -> Principal:
    """The database role of ``actor``: staff, the one patient's, or nobody's."""
    if actor is None:
        return Principal.ANONYMOUS
    return Principal.PATIENT if actor.role is Role.PATIENT else Principal.STAFF


@event.listens_for(PrincipalSession, "after_begin")
def name_the_patient(_: Session, transaction: SessionTransaction, connection: Connection) -> None:
    """Row-level security shows a patient's role nothing until the transaction names the patient."""
    actor: Actor | None = g.get("actor")
    if actor is not None and actor.role is Role.PATIENT and not transaction.nested:
        connection.execute(NAME_PATIENT, {"patient": str(actor.patient_id or "")})


@contextmanager
def unit_of_work() -> Iterator[Session]:
    """The request's one transaction. Committed when the block ends, so before the answer leaves; rolled back
    when it raises, but for a refusal that keeps its record. Build the answer inside: what can't be committed
    must not be shown."""
    session: Session = db.session()
    try:
        yield session
        commit(session)
    except ServiceError as error:
        if error.keeps_record:
            commit(session)
        else:
            session.rollback()
        raise
    except BaseException:
        session.rollback()
        raise


@contextmanager
def auditor_work() -> Iterator[Session]:
    """A transaction as the auditor principal, which alone of the web's may review what was found in the trail."""
    with runtime().databases.session(Principal.AUDITOR) as session:
        yield session


@contextmanager
def anonymous_work() -> Iterator[Session]:
    """A transaction as the anonymous principal, which alone may touch sessions and password hashes."""
    with runtime().databases.session(Principal.ANONYMOUS) as session:
        yield session
