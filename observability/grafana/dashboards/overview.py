"""The first look: is the clinic served, is the trail written, would a backup restore."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from observability.grafana.dashboards.audit import oldest_unsealed
from observability.grafana.page import page
from observability.grafana.panels import (
    YES_IS_GOOD,
    Query,
    Words,
    above,
    below,
    figure,
    listing,
    trend,
)
from observability.grafana.queries import answered_within, by_class, worked_share
from observability.grafana.runbooks import Runbook

SERVED = (
    figure(
        "Processes away",
        Query('sum(1 - up{job=~"sigilo-.+"})'),
        words=Words(
            "Processes of Sigilo that do not answer Prometheus: web, workers, scheduler.",
            "0. One for a minute while a release is switched.",
            Runbook.WEB,
        ),
        levels=above(1),
    ),
    figure(
        "Requests that worked",
        Query(worked_share("$__range")),
        words=Words(
            "Share of requests in the time shown that did not end in an error of ours (5xx).",
            "Above 99.9 %. What a caller did wrong (4xx) does not count.",
            Runbook.WEB,
        ),
        unit="percentunit",
        levels=below(0.999, 0.995),
        decimals=2,
    ),
    figure(
        "Slow answers begin at",
        Query(answered_within(0.95, "$__rate_interval")),
        words=Words(
            "95 of 100 requests are answered within this time.",
            "Below 300 ms. Above it people begin to wait for pages.",
            Runbook.WEB,
        ),
        unit="s",
        levels=above(0.3, 1),
    ),
    figure(
        "Database",
        Query('min(pg_up{job="postgres"})'),
        words=Words(
            "Whether PostgreSQL answers its exporter.",
            "Up. Without it nothing of Sigilo works, and nothing is lost.",
            Runbook.POSTGRES,
        ),
        levels=YES_IS_GOOD,
        states={0: "Away", 1: "Up"},
    ),
    figure(
        "Redis",
        Query('min(redis_up{job="redis"})'),
        words=Words(
            "Whether Redis answers its exporter.",
            "Up. Without it quotas are counted more strictly and work waits for the scheduler; nothing is lost.",
            Runbook.REDIS,
        ),
        levels=YES_IS_GOOD,
        states={0: "Away", 1: "Up"},
    ),
    figure(
        "Scheduler",
        Query("sum(sigilo_scheduler_leader)"),
        words=Words(
            "How many schedulers lead: the one that wakes timed work.",
            "1, however many run. 0 for longer than a minute: nothing timed happens.",
            Runbook.QUEUES,
        ),
        levels=YES_IS_GOOD,
    ),
)
KEPT = (
    oldest_unsealed(),
    figure(
        "Trail verified",
        Query("time() - max(sigilo_audit_verified_timestamp_seconds)"),
        words=Words(
            "Since the whole trail was last recomputed and found unchanged.",
            "Below 26 hours: it is done every night.",
            Runbook.TRAIL,
        ),
        unit="s",
        levels=above(93_600, 180_000),
    ),
    figure(
        "Last good backup",
        Query("time() - max(sigilo_backup_last_good_timestamp_seconds)"),
        words=Words(
            "Age of the newest backup that a drill has restored.",
            "Below 26 hours: one is made every night.",
            Runbook.BACKUPS,
        ),
        unit="s",
        levels=above(93_600, 180_000),
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
    ),
    figure(
        "Certificate ends in",
        Query('min(probe_ssl_earliest_cert_expiry{job="blackbox", renewed!="hourly"} - time())'),
        words=Words(
            "Until the first certificate of the clinic's address ends.",
            "More than 20 days: it is renewed by itself at 30.",
            Runbook.HOST,
        ),
        unit="s",
        levels=below(1_728_000, 604_800),
    ),
    figure(
        "Fullest disk",
        Query(
            'max(1 - node_filesystem_avail_bytes{job="node", fstype!~"tmpfs|overlay|ramfs|squashfs"}'
            ' / node_filesystem_size_bytes{job="node", fstype!~"tmpfs|overlay|ramfs|squashfs"})'
        ),
        words=Words(
            "Share of the fullest file system that is taken.",
            "Below 80 %. PostgreSQL stops when its disk is full.",
            Runbook.HOST,
        ),
        unit="percentunit",
        levels=above(0.8, 0.9),
    ),
)
PROMISED = (
    trend(
        "How fast promises are used up",
        Query("sigilo:slo_bad:ratio_rate1h / on (slo) (1 - sigilo:slo_target:ratio)", "{{slo}}"),
        words=Words(
            "What was bad in the last hour, as a multiple of what each promise allows for all the time.",
            "Below 1. At 14 a month's share is gone in two days, and somebody is called.",
            Runbook.SLO,
        ),
        levels=above(1, 14.4),
    ),
    listing(
        "Alerts that fire",
        Query('sum by (alertname, severity) (ALERTS{alertstate="firing"})'),
        columns={"alertname": "Alert", "severity": "Severity", "Value": "How many"},
        words=Words(
            "What Prometheus believes to be wrong right now.",
            "Watchdog alone, which is always there: without it no alert would arrive.",
            Runbook.MONITORING,
        ),
    ),
)
HAPPENS = (
    trend(
        "Requests by outcome",
        Query(by_class("$__rate_interval"), "{{class}}xx"),
        words=Words(
            "Requests a second by the class of their answer.",
            "2xx and 3xx follow the clinic's day; 4xx are a few per cent; there is no 5xx.",
            Runbook.WEB,
        ),
        unit="reqps",
        stacked=True,
    ),
    trend(
        "How long requests take",
        Query(answered_within(0.5, "$__rate_interval"), "half within"),
        Query(answered_within(0.95, "$__rate_interval"), "95 % within", exemplar=True),
        Query(answered_within(0.99, "$__rate_interval"), "99 % within"),
        words=Words(
            "Times within which requests are answered. Points are single requests: they open their trace.",
            "Half within 50 ms, 95 % within 300 ms.",
            Runbook.WEB,
        ),
        unit="s",
        levels=above(0.3),
    ),
    trend(
        "Work that waits",
        Query("max by (queue) (sigilo_queue_depth)", "{{queue}}"),
        words=Words(
            "Wake-ups in each queue that no worker has taken.",
            "0 to 2: a queue is not woken more often. The work itself stands in the database.",
            Runbook.QUEUES,
        ),
    ),
    trend(
        "People signed in",
        Query("max by (role) (sigilo_sessions)", "{{role}}"),
        words=Words(
            "Sessions that are neither ended nor timed out, by role.",
            "Follows the clinic's day. None during opening hours means that nobody can sign in.",
            Runbook.PRIVACY,
        ),
        stacked=True,
    ),
)
SEEN_BY_PROMETHEUS = (
    listing(
        "What is watched",
        Query("sum by (job) (up)"),
        columns={"job": "Job", "Value": "Instances that answer"},
        words=Words(
            "What Prometheus asks, and how many of each answer.",
            "Every job is there with all of its instances. What is not asked raises no alert.",
            Runbook.MONITORING,
        ),
    ),
    listing(
        "Versions that run",
        Query("count by (version, job) (sigilo_build_info)"),
        columns={"version": "Version", "job": "Job", "Value": "Processes"},
        words=Words(
            "Which version each kind of process runs.",
            "One version. Two for the minutes in which a release is switched.",
            Runbook.WEB,
        ),
    ),
)


def build() -> Dashboard:
    return page(
        "overview",
        "Sigilo: overview",
        "Whether the clinic is served, its trail is written and its backups restore. Begin here.",
        (
            ("Is the clinic served?", SERVED),
            ("Is everything kept?", KEPT),
            ("Promises and alerts", PROMISED),
            ("What happens", HAPPENS),
            ("What is watched", SEEN_BY_PROMETHEUS),
        ),
    )
