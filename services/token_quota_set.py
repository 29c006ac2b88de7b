"""Give a token a quota of its own, which replaces its user's, or take it away."""

from __future__ import annotations

import uuid

from sqlalchemy.orm import Session

from models import ApiToken, new_id
from services.actor import Actor
from services.audit_event import Event, changes_between, record
from services.errors import Conflict, Forbidden, NotFound
from services.field_encryption import FieldCipher
from services.permissions import Permission
from services.quota_check import check_quota
from services.quota_holders import NO_TOKEN
from services.user_quota_set import NOT_ONES_OWN


def set_token_quota(
    session: Session, actor: Actor, cipher: FieldCipher, token_id: uuid.UUID, quota: str | None
) -> ApiToken:
    """The token with ``quota``, or with its user's when it is None. The quota it has already changes nothing.

    Raises Forbidden (not an admin, or one's own token), NotFound, Conflict (revoked), Invalid.
    """
    actor.require(Permission.USER_MANAGE)
    check_quota(quota)
    token = session.get(ApiToken, token_id, with_for_update=True)
    if token is None:
        raise NotFound(NO_TOKEN)
    if token.user_id == actor.user_id:
        raise Forbidden(NOT_ONES_OWN)
    if token.revoked_at is not None:
        raise Conflict("This token was revoked: it has no quota any more.")
    if token.quota == quota:
        return token
    event_id = new_id()
    changes = changes_between(cipher.digest_key, event_id, {"quota": token.quota}, {"quota": quota})
    token.quota = quota
    record(session, actor, Event("token.update", "token", token.id, changes=changes), event_id=event_id)
    session.flush()
    return token
