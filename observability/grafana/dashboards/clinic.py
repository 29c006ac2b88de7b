"""The clinic's day: who waits, for how long, and how much there is."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from observability.grafana.page import page
from observability.grafana.panels import Query, Words, above, bars, figure, trend
from observability.grafana.runbooks import Runbook

TODAY = (
    figure(
        "Longest wait",
        Query("max(sigilo_visit_wait_seconds)"),
        words=Words(
            "How long whoever waits longest has been waiting.",
            "Below an hour. Nothing is wrong with Sigilo when it is more; the front desk wants to know.",
            Runbook.WEB,
        ),
        unit="s",
        levels=above(3600, 7200),
        width=6,
    ),
    figure(
        "Visits today",
        Query("sum(max by (status) (sigilo_visits))"),
        words=Words(
            "Visits of today, whatever became of them.",
            "The clinic's own measure. 0 on a working day means that reception can't check anybody in.",
            Runbook.WEB,
        ),
        width=6,
    ),
    figure(
        "Patients",
        Query("max(sigilo_patients)"),
        words=Words(
            "Patients on file, as the database estimates.",
            "Grows. A jump is an import; a fall is a fault, for patients are never deleted.",
            Runbook.QUEUES,
        ),
        width=6,
    ),
    figure(
        "Records",
        Query("max(sigilo_records)"),
        words=Words(
            "Medical records on file, as the database estimates.",
            "Grows. A fall is a fault, for records are never deleted.",
            Runbook.QUEUES,
        ),
        width=6,
    ),
)
DAY = (
    trend(
        "Visits by where they stand",
        Query("max by (status) (sigilo_visits)", "{{status}}"),
        words=Words(
            "Visits of today: waiting, in care, done, left without being seen.",
            "done climbs all day; left stays low.",
            Runbook.WEB,
        ),
        stacked=True,
    ),
    trend(
        "Longest wait, over the day",
        Query("max(sigilo_visit_wait_seconds)", "longest wait"),
        words=Words("How long whoever waits longest has been waiting.", "Below an hour.", Runbook.WEB),
        unit="s",
        levels=above(3600),
    ),
    trend(
        "Records on file",
        Query("max(sigilo_records)", "records"),
        words=Words("Medical records on file, as the database estimates.", "Grows every day.", Runbook.QUEUES),
    ),
    bars(
        "People signed in",
        Query("max by (role) (sigilo_sessions)", "{{role}}"),
        words=Words(
            "Sessions that are neither ended nor timed out, by role.",
            "Who works at this hour.",
            Runbook.PRIVACY,
        ),
    ),
)


def build() -> Dashboard:
    return page(
        "clinic",
        "Sigilo: the clinic",
        "The clinic's day in numbers. Nobody is named, and no number is of fewer than the whole clinic.",
        (("Today", TODAY), ("Over the day", DAY)),
        shown="now-24h",
    )
