"""Questions to the local model: whether it answers, how fast, and what people make of the answers."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from observability.grafana.page import page
from observability.grafana.panels import YES_IS_GOOD, Query, Words, above, bars, below, figure, trend
from observability.grafana.queries import within
from observability.grafana.runbooks import Runbook

OVER = "$__rate_interval"
ANSWERS = "sigilo_ai_answer_seconds"

STANDING = (
    figure(
        "Model",
        Query("max(sigilo_ai_model_up)"),
        words=Words(
            "Whether the server of models answers and has the model. Without OLLAMA_URL there is none: no data.",
            "Up. While it is away rules answer, and say so.",
            Runbook.QUEUES,
        ),
        levels=YES_IS_GOOD,
        states={0: "Away", 1: "Up"},
        width=6,
    ),
    figure(
        "Questions that wait",
        Query("max(sigilo_ai_waiting)"),
        words=Words(
            "Questions that nobody has begun to answer.",
            "0 to 3. More than people want to wait for: the model is too slow for this clinic.",
            Runbook.QUEUES,
        ),
        levels=above(5, 20),
        width=6,
    ),
    figure(
        "Answered by the model",
        Query(
            f'sum(increase({ANSWERS}_count{{source="model"}}[$__range])) / sum(increase({ANSWERS}_count[$__range]))'
        ),
        words=Words(
            "Share of answers in the time shown that came from the model and not from rules.",
            "Above 95 % where there is a model.",
            Runbook.QUEUES,
        ),
        unit="percentunit",
        levels=below(0.95, 0.8),
        width=6,
    ),
    figure(
        "Taken over",
        Query(
            'sum(increase(sigilo_ai_verdicts_total{verdict=~"accepted|edited"}[$__range]))'
            " / sum(increase(sigilo_ai_verdicts_total[$__range]))"
        ),
        words=Words(
            "Share of judged answers in the time shown that a person took over, as they were or edited.",
            "There is no right share. One that falls after a change of model says that it got worse; near 100 % may"
            " say that nobody reads.",
            Runbook.QUEUES,
        ),
        unit="percentunit",
        width=6,
    ),
)
ANSWERED = (
    trend(
        "Questions",
        Query(f"sum by (use, outcome) (increase(sigilo_ai_questions_total[{OVER}]))", "{{use}}: {{outcome}}"),
        words=Words(
            "Questions by what they were for and how they ended.",
            "Follows the clinic's day; hardly any failed.",
            Runbook.QUEUES,
        ),
        stacked=True,
    ),
    trend(
        "How long answers take",
        Query(within(ANSWERS, 0.5, OVER, by="source"), "{{source}}: half within"),
        Query(within(ANSWERS, 0.95, OVER, by="source"), "{{source}}: 95 % within"),
        words=Words(
            "Time within which questions are answered, by who answers.",
            "Rules: below a second. A model on processors alone: a minute; on a graphics card: seconds.",
            Runbook.QUEUES,
        ),
        unit="s",
        levels=above(60),
    ),
    trend(
        "Tokens",
        Query(f"sum by (direction) (rate(sigilo_ai_tokens_total[{OVER}]))", "{{direction}}"),
        words=Words(
            "Pieces of words that the model read and wrote, a second: what its work is measured in.",
            "It reads ten times what it writes.",
            Runbook.QUEUES,
        ),
        unit="ops",
        width=8,
    ),
    trend(
        "Rules in the model's place",
        Query(f"sum by (reason) (increase(sigilo_ai_fallbacks_total[{OVER}]))", "{{reason}}"),
        words=Words(
            "Answers that rules gave because the model gave none: it was away, busy, or its answer did not hold.",
            "None. Many with «answer_invalid» say that the model is too small for this work.",
            Runbook.QUEUES,
        ),
        stacked=True,
        width=8,
    ),
    bars(
        "Verdicts",
        Query(
            "sum by (use, verdict) (increase(sigilo_ai_verdicts_total[$__range]))",
            "{{use}}: {{verdict}}",
        ),
        words=Words(
            "What people made of answers in the time shown.",
            "Most answers are judged; what nobody judged is deleted.",
            Runbook.QUEUES,
        ),
        width=8,
    ),
)


def build() -> Dashboard:
    return page(
        "ai",
        "Sigilo: AI",
        "Questions to the local model. No panel knows what was asked, or about whom.",
        (("How is it?", STANDING), ("Answers", ANSWERED)),
        shown="now-24h",
    )
