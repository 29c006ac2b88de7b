"""Background work: what waits, what is done, what fails, who wakes it; and Redis, which carries the wake-ups."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from observability.grafana.page import page
from observability.grafana.panels import YES_IS_BAD, YES_IS_GOOD, Query, Words, above, bars, figure, listing, trend
from observability.grafana.queries import within
from observability.grafana.runbooks import Runbook

OVER = "$__rate_interval"
REDIS = 'job="redis"'

STANDING = (
    figure(
        "Oldest wake-up",
        Query("max(sigilo_queue_oldest_age_seconds)"),
        words=Words(
            "How long the oldest wake-up waits that no worker has taken.",
            "Below a minute, but for what stands behind an import.",
            Runbook.QUEUES,
        ),
        unit="s",
        levels=above(60, 600),
        width=6,
    ),
    figure(
        "Work that failed for good",
        Query("max(sigilo_dead_letters_open)"),
        words=Words(
            "Background work that was given up and that nobody has dealt with.",
            "0. Each one stands on the page /system, where it is sent again or dismissed.",
            Runbook.QUEUES,
        ),
        levels=above(1),
        width=6,
    ),
    figure(
        "Scheduler",
        Query("sum(sigilo_scheduler_leader)"),
        words=Words(
            "How many schedulers lead.",
            "1, however many run. With 0 nothing timed happens.",
            Runbook.QUEUES,
        ),
        levels=YES_IS_GOOD,
        width=6,
    ),
    figure(
        "Slots that are late",
        Query("sum(max by (slot) (sigilo_scheduler_slot_late))"),
        words=Words(
            "Timed jobs that did not run within their grace.",
            "0.",
            Runbook.QUEUES,
        ),
        levels=above(1),
        width=6,
    ),
)
WORK = (
    trend(
        "Waiting, by queue",
        Query("max by (queue) (sigilo_queue_depth)", "{{queue}}"),
        words=Words(
            "Wake-ups that no worker has taken. The work itself stands in the database.",
            "0 to 2: a queue is not woken more often.",
            Runbook.QUEUES,
        ),
        stacked=True,
    ),
    trend(
        "Oldest, by queue",
        Query("max by (queue) (sigilo_queue_oldest_age_seconds)", "{{queue}}"),
        words=Words(
            "How long the oldest wake-up of each queue waits.",
            "Seconds. audit, mail and access have workers of their own and wait for nobody.",
            Runbook.QUEUES,
        ),
        unit="s",
        levels=above(60),
    ),
    trend(
        "Done, by task",
        Query(f"sum by (task) (rate(sigilo_task_seconds_count[{OVER}]))", "{{task}}"),
        words=Words(
            "Tasks that ended, a second, however they ended.",
            "audit.drain leads while somebody works.",
            Runbook.QUEUES,
        ),
        unit="ops",
        stacked=True,
    ),
    trend(
        "How long tasks take",
        Query(within("sigilo_task_seconds", 0.95, OVER, by="task"), "{{task}}"),
        words=Words(
            "Time within which 95 of 100 runs of each task end.",
            "Below a second, but for imports, backups, drills and questions to the model.",
            Runbook.QUEUES,
        ),
        unit="s",
    ),
    listing(
        "How tasks ended",
        Query("sum by (task, outcome) (increase(sigilo_task_seconds_count[$__range]))"),
        columns={"task": "Task", "outcome": "Outcome", "Value": "Runs"},
        words=Words(
            "Runs in the time shown by their outcome.",
            "Hardly any failed. What failed for good is a line on /system.",
            Runbook.QUEUES,
        ),
    ),
    trend(
        "Tried again",
        Query(f"sum by (task) (rate(sigilo_task_retries_total[{OVER}]))", "{{task}}"),
        words=Words(
            "Runs put back to be tried again, a second: the database was away or busy, or a child was killed.",
            "0. Restarts of the database show here for a minute.",
            Runbook.QUEUES,
        ),
        unit="ops",
    ),
)
CLOCK = (
    bars(
        "Timed jobs: since their last run",
        Query("sort_desc(time() - max by (slot) (sigilo_scheduler_last_run_timestamp_seconds > 0))", "{{slot}}"),
        words=Words(
            "Since each timed job last ran.",
            "Below its interval: a day for backups, verification and clean-up.",
            Runbook.QUEUES,
        ),
        unit="s",
        levels=above(93_600, 180_000),
    ),
    bars(
        "Timed jobs: last run failed",
        Query("max by (slot) (sigilo_job_run_failed)", "{{slot}}"),
        words=Words(
            "1 where the newest run of a timed job failed. The page /system/jobs says when and why.",
            "0 everywhere.",
            Runbook.QUEUES,
        ),
        levels=YES_IS_BAD,
        highest=1,
    ),
    bars(
        "Imports",
        Query("max by (status) (sigilo_import_jobs)", "{{status}}"),
        words=Words(
            "Imports by where they stand.",
            "None runs but after somebody has sent a file. One that failed stands on the page /imports.",
            Runbook.QUEUES,
        ),
    ),
    trend(
        "Entries imported",
        Query(f"sum by (outcome) (rate(sigilo_import_entries_total[{OVER}]))", "{{outcome}}"),
        words=Words(
            "Entries of files a second, by what became of them.",
            "Rejected ones are few, and kept with the reason. A file of which most is rejected has another shape.",
            Runbook.QUEUES,
        ),
        unit="ops",
        stacked=True,
    ),
)
CARRIER = (
    trend(
        "Redis: memory",
        Query(f"max(redis_memory_used_bytes{{{REDIS}}})", "used"),
        Query(f"max(redis_memory_max_bytes{{{REDIS}}})", "allowed"),
        words=Words(
            "Memory of Redis and its limit. It evicts nothing: at the limit it refuses to write.",
            "Some megabytes.",
            Runbook.REDIS,
        ),
        unit="bytes",
        width=8,
    ),
    trend(
        "Redis: commands",
        Query(f"sum(rate(redis_commands_processed_total{{{REDIS}}}[{OVER}]))", "commands"),
        words=Words(
            "Commands a second: one script for each request, and the wake-ups.",
            "Follows the requests.",
            Runbook.REDIS,
        ),
        unit="ops",
        width=8,
    ),
    trend(
        "Redis: clients",
        Query(f"max(redis_connected_clients{{{REDIS}}})", "connected"),
        Query(f"sum(increase(redis_rejected_connections_total{{{REDIS}}}[{OVER}]))", "turned away"),
        words=Words(
            "Connections, and those that were turned away because there were too many.",
            "Some dozens; none is turned away.",
            Runbook.REDIS,
        ),
        width=8,
    ),
    figure(
        "Redis",
        Query(f"min(redis_up{{{REDIS}}})"),
        words=Words("Whether Redis answers its exporter.", "Up.", Runbook.REDIS),
        levels=YES_IS_GOOD,
        states={0: "Away", 1: "Up"},
        width=8,
    ),
    figure(
        "Redis: append-only file",
        Query(f"min(redis_aof_last_write_status{{{REDIS}}})"),
        words=Words(
            "Whether the last write of its file worked: what it holds then outlives a restart.",
            "Well. Otherwise its disk is full or gone, and it refuses writes.",
            Runbook.REDIS,
        ),
        levels=YES_IS_GOOD,
        states={0: "Failed", 1: "Well"},
        width=8,
    ),
    figure(
        "Quotas without Redis",
        Query("max(sigilo_quota_degraded)"),
        words=Words(
            "Whether processes count quotas by themselves, more strictly, because Redis does not answer them.",
            "No.",
            Runbook.REDIS,
        ),
        levels=YES_IS_BAD,
        states={0: "No", 1: "Yes"},
        width=8,
    ),
    trend(
        "Cache: found",
        Query(
            f'sum by (kind) (rate(sigilo_cache_lookups_total{{outcome="hit"}}[{OVER}]))'
            f" / sum by (kind) (rate(sigilo_cache_lookups_total[{OVER}]))",
            "{{kind}}",
        ),
        words=Words(
            "Share of look-ups in the cache that found what was worked out a moment ago: callers by their tokens, codes"
            " by words, figures of the day.",
            "Tokens and figures above 80 % in a busy hour. Everything is worked out anew in the quiet ones.",
            Runbook.REDIS,
        ),
        unit="percentunit",
        highest=1,
        width=16,
    ),
    figure(
        "Without the cache",
        Query("max(sigilo_cache_degraded)"),
        words=Words(
            "Whether processes work everything out anew, because the cache does not answer them.",
            "No. Nothing is wrong without it, and pages take longer.",
            Runbook.REDIS,
        ),
        levels=YES_IS_BAD,
        states={0: "No", 1: "Yes"},
        width=8,
    ),
)


def build() -> Dashboard:
    return page(
        "queues",
        "Sigilo: queues",
        "Background work: what waits, what is done, what fails, and who wakes it.",
        (
            ("How is it?", STANDING),
            ("Work", WORK),
            ("Timed jobs and imports", CLOCK),
            ("Redis", CARRIER),
        ),
    )
