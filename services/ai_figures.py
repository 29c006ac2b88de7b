"""How the models do: what people made of their answers, and how long they took. Counts, and nobody's data."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.ai import AT_WORK
from services.actor import Actor
from services.permissions import Permission

DAYS = 30
FIGURES = text(f"""
    SELECT use, engine, model, model_digest, prompt_version, count(*) AS answers,
        count(*) FILTER (WHERE verdict IN ('ACCEPTED', 'EDITED'))::float8 / nullif(count(verdict), 0) AS accepted_share,
        count(*) FILTER (WHERE verdict = 'ACCEPTED') AS accepted,
        count(*) FILTER (WHERE verdict = 'EDITED') AS edited,
        count(*) FILTER (WHERE verdict = 'REJECTED') AS rejected,
        sum(removed) AS removed, count(*) FILTER (WHERE is_repaired) AS repaired,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ms) AS median_ms,
        percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ms) AS p95_ms,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY first_text_ms) AS first_ms
    FROM ai_requests WHERE state = 'DONE' AND created_at > now() - interval '{DAYS} days'
    GROUP BY use, engine, model, model_digest, prompt_version ORDER BY use, answers DESC, model
""")
# Rules say nothing of the model that was to answer: which one that is, only AI_MODEL of that day knew.
FALLBACKS = text(f"""
    SELECT use, fallback_reason AS reason, count(*) AS answers FROM ai_requests
    WHERE fallback_reason IS NOT NULL AND created_at > now() - interval '{DAYS} days'
    GROUP BY use, fallback_reason ORDER BY answers DESC, use, reason
""")
# Whoever looks at the page has it asked every few seconds, and questions of years are kept: by their indexes.
QUEUE = text(f"""
    SELECT count(*) FILTER (WHERE state = 'WAITING') AS waiting, count(*) FILTER (WHERE state = 'RUNNING') AS running,
        count(*) FILTER (WHERE state = 'FAILED' AND created_at > now() - interval '{DAYS} days') AS failed,
        count(*) FILTER (WHERE state = 'CANCELLED' AND created_at > now() - interval '{DAYS} days') AS cancelled,
        extract(epoch FROM now() - min(created_at) FILTER (WHERE state = 'WAITING'))::int AS oldest_seconds,
        (SELECT count(*) FROM ai_refusals WHERE ended_at IS NULL) AS refusals
    FROM ai_requests WHERE {AT_WORK} OR created_at > now() - interval '{DAYS} days'
""")


def ai_figures(session: Session, actor: Actor) -> dict[str, Any]:
    """``{"models": [{"use", "engine", "model", …}], "fallbacks": [{"use", "reason", "answers"}],
    "queue": {…}}`` of the last 30 days. Raises Forbidden."""
    actor.require(Permission.AI_FIGURES)
    return {
        "models": [dict(row._mapping) for row in session.execute(FIGURES)],
        "fallbacks": [dict(row._mapping) for row in session.execute(FALLBACKS)],
        "queue": dict(session.execute(QUEUE).one()._mapping),
    }
