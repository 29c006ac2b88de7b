"""``/backups``: whether the clinic could be restored, each backup and its drill, and who holds which key."""

from __future__ import annotations

import uuid

from flask import Response
from werkzeug.wrappers import Response as BaseResponse

from services.backup_list import get_backup, list_backups, list_keys
from services.backup_request import request_backup
from services.backup_standing import backup_standing
from services.base_backups import base_backups
from services.permissions import Permission
from web.authentication import current_actor
from web.database import unit_of_work
from web.forms.sentences import said
from web.guards import Guard, Routes
from web.htmx import go, show
from web.runtime import runtime

routes = Routes("backups")
LIST = "/backups"
ITEM = f"{LIST}/<uuid:backup_id>"


def list_all() -> Response:
    settings = runtime().settings
    with unit_of_work() as session:
        actor = current_actor()
        backups, keys = list_backups(session, actor), list_keys(session, actor, settings)
        standing, bases = backup_standing(session), base_backups(session)
    return show(
        "backups/backups.html", {"backups": "backups/_backups.html"}, backups=backups, keys=keys,
        standing=standing, bases=bases,
        kept=(settings.backup_keep_daily, settings.backup_keep_weekly, settings.backup_keep_monthly),
        lies_here=not settings.backup_url, rotated_after=settings.drill_key_days, said=said,
    )  # fmt: skip


def ask() -> BaseResponse:
    with unit_of_work() as session:
        made = request_backup(session, current_actor())
    runtime().wakeup.backups()
    return go(f"{LIST}/{made}", done="backup-asked")


def backup(backup_id: uuid.UUID) -> Response:
    with unit_of_work() as session:
        shown = get_backup(session, current_actor(), backup_id)
    return show("backups/backup.html", {"backup": "backups/_backup.html"}, backup=shown, said=said)


GUARD = Guard(Permission.USER_MANAGE)
routes.add(LIST, view=list_all, guard=GUARD)
routes.add(LIST, view=ask, guard=GUARD, methods=["POST"])
routes.add(ITEM, view=backup, guard=GUARD)
