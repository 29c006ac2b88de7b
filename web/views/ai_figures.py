"""``/ai``: how the local models do, and how many questions wait. Counts, and nobody's data."""

from __future__ import annotations

from flask import Response

from services.ai_figures import DAYS, ai_figures
from services.permissions import Permission
from web.authentication import current_actor
from web.database import unit_of_work
from web.guards import Guard, Routes
from web.htmx import show
from web.runtime import runtime

routes = Routes("ai_figures")


def figures() -> Response:
    settings = runtime().settings
    with unit_of_work() as session:
        found = ai_figures(session, current_actor())
    return show(
        "ai/figures.html", {"ai-figures": "ai/_figures.html"}, days=DAYS, models=found["models"], queue=found["queue"],
        fallbacks=found["fallbacks"], model_in_use=settings.ai_model if settings.ollama_url else None,
        kept_hours=settings.ai_ttl_hours,
    )  # fmt: skip


routes.add("/ai", view=figures, guard=Guard(Permission.AI_FIGURES))
