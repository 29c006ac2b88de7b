"""Keep what a user and their roles looked like at each version."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import RoleVersion, User, UserVersion
from services.actor import Actor
from services.audit_event import Origin
from services.record_fields import time_text


def user_content(user: User) -> dict[str, Any]:
    """A user's full content at one version; no password hash, which is no content."""
    return {
        "email": user.email,
        "fullName": user.full_name,
        "council": user.council,
        "patientId": None if user.patient_id is None else str(user.patient_id),
        "quota": user.quota,
        "locale": user.locale,
        "mustChangePassword": user.must_change_password,
        "disabledAt": time_text(user.disabled_at),
    }


def keep_user_version(session: Session, actor: Actor | Origin, user: User, reason: str | None = None) -> dict[str, Any]:
    """Keep the flushed ``user`` as its current version; gives the content kept.

    The time is stated, for a default would have to be read back, which not every principal may.
    """
    content = user_content(user)
    session.add(
        UserVersion(
            user_id=user.id,
            version=user.version,
            content=content,
            changed_by=actor.user_id,
            changed_at=datetime.now(UTC),
            reason=reason,
        )
    )
    return content


def keep_roles_version(
    session: Session, actor: Actor | Origin, user: User, roles: Iterable[str], reason: str | None = None
) -> int:
    """Keep the set of roles that ``user`` holds from now on; gives its version number."""
    newest = session.scalar(select(func.max(RoleVersion.version)).where(RoleVersion.user_id == user.id))
    version = (newest or 0) + 1
    session.add(
        RoleVersion(
            user_id=user.id,
            version=version,
            roles=sorted(roles),
            changed_by=actor.user_id,
            changed_at=datetime.now(UTC),
            reason=reason,
        )
    )
    return version
