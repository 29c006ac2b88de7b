"""Background work that failed for good, as an administrator deals with it: look, try again, dismiss."""

from __future__ import annotations

import uuid
from contextlib import closing
from typing import Any

from flask import Response
from werkzeug.wrappers import Response as BaseResponse

from integrations.broker import BrokerUnavailable, Publisher
from services.dead_letter_dismiss import dismiss_dead_letter
from services.dead_letter_list import get_dead_letter
from services.dead_letter_retry import retry_dead_letter
from services.errors import Invalid, Unavailable
from services.permissions import Permission
from web.api.schemas import ReasonBody
from web.authentication import current_actor
from web.database import unit_of_work
from web.forms.reading import Form, read_form
from web.guards import Guard, Routes
from web.htmx import go, show
from web.runtime import runtime

routes = Routes("dead_letters")
SYSTEM = "/system"
ITEM = f"{SYSTEM}/dead-letters/<uuid:letter_id>"
NO_BROKER = "Redis does not answer, so nothing was sent to the workers. This work stays here: try again in a moment."


def letter(letter_id: uuid.UUID) -> Response:
    return _page(letter_id, Form())


def retry(letter_id: uuid.UUID) -> BaseResponse:
    """Sent after the commit: nothing is done again whose event is not written. Dying in between loses the message and
    not the row, which stays open until the work succeeds, so that it can be sent once more."""
    with unit_of_work() as session:
        task, arguments = retry_dead_letter(session, current_actor(), letter_id)
    _send(task, arguments)
    return go(SYSTEM, done="work-retried")


def dismiss(letter_id: uuid.UUID) -> BaseResponse:
    form = read_form(ReasonBody)
    if form.body is not None:
        try:
            with unit_of_work() as session:
                dismiss_dead_letter(session, current_actor(), letter_id, reason=form.body.reason)
            return go(SYSTEM, done="work-dismissed")
        except Invalid as error:
            form.refuse(error)
    return _page(letter_id, form)


def _send(task: str, arguments: dict[str, Any]) -> None:
    """Within half a second or not at all. Raises Unavailable."""
    with closing(Publisher(runtime().settings.redis_url.get_secret_value())) as publisher:
        try:
            publisher.send(task, **arguments)
        except BrokerUnavailable as error:
            raise Unavailable(NO_BROKER) from error


def _page(letter_id: uuid.UUID, form: Form[Any]) -> Response:
    with unit_of_work() as session:
        shown = get_dead_letter(session, current_actor(), letter_id)
    return show("system/dead_letter.html", status=422 if form.errors else 200, letter=shown, form=form)


GUARD = Guard(Permission.USER_MANAGE)
routes.add(ITEM, view=letter, guard=GUARD)
routes.add(f"{ITEM}/retry", view=retry, guard=GUARD, methods=["POST"])
routes.add(f"{ITEM}/dismiss", view=dismiss, guard=GUARD, methods=["POST"])
