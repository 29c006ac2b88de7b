from tests.observability.alert_cases import NOT_KNOWN, Case, Series

PROMETHEUS = {"job": "prometheus", "instance": "localhost:9090"}
ALERTMANAGER = {"job": "alertmanager", "instance": "alertmanager:9093"}


def of_prometheus(name: str, values: str, more: str = "") -> Series:
    return {f'prometheus_{name}{{job="prometheus",instance="localhost:9090"{more}}}': values}


def failed(values: str, integration: str = "email") -> Series:
    labels = f'job="alertmanager",instance="alertmanager:9093",integration="{integration}",reason="other"'
    return {f"alertmanager_notifications_failed_total{{{labels}}}": values}


RELOADED = 'alertmanager_config_last_reload_successful{job="alertmanager",instance="alertmanager:9093"}'
FLOATS = ',type="float"'
GROUP = ',rule_group="rules/web.yml;web"'

# A series of each statement of a scrape that alerts rest on.
STATE = tuple(
    f'{name}{{job="sigilo-web",instance="web-1:8000"{label}}}'
    for name, label in (
        ("sigilo_audit_outbox_age_seconds", ""), ("sigilo_audit_checkpoint_overdue_seconds", ""),
        ("sigilo_backup_last_good_timestamp_seconds", ""), ("sigilo_backup_drill_last_good_timestamp_seconds", ""),
        ("sigilo_dead_letters_open", ""), ("sigilo_scheduler_slot_late", ',slot="backups.daily"'),
        ("sigilo_emergency_accesses_unreviewed", ""), ("sigilo_ai_waiting", ""),
        ("sigilo_queue_oldest_age_seconds", ',queue="audit"'),
    )
)  # fmt: skip


def state(values: str, without: str = "", then: str = "") -> Series:
    """All of them with ``values``; the one called ``without`` as ``then`` says."""
    return {each: then if without and each.startswith(without) else values for each in STATE}


CASES = {
    "Watchdog": Case(fires={"up": "1x90"}, since=0, quiet=()),
    "StateNotMeasured": Case(
        fires=state("0x90", "sigilo_audit_outbox_age_seconds", f"0x2 {NOT_KNOWN}"),
        since=3,
        # Not read for a moment.
        quiet=(state("0x90"), state("0x90", "sigilo_queue_oldest", "0x2 NaN NaN NaN 0x90")),
    ),
    "PrometheusConfigBad": Case(
        fires=of_prometheus("config_last_reload_successful", "1x2 0x90"),
        since=3,
        labels=PROMETHEUS,
        quiet=(of_prometheus("config_last_reload_successful", "1x2 0x4 1x90"),),
    ),
    "PrometheusRulesFailing": Case(
        fires=of_prometheus("rule_evaluation_failures_total", "0x9 1+1x90", GROUP),
        since=10,
        labels={**PROMETHEUS, "rule_group": "rules/web.yml;web"},
        quiet=(of_prometheus("rule_evaluation_failures_total", "7x90", GROUP),),
    ),
    "PrometheusNotIngesting": Case(
        fires=of_prometheus("tsdb_head_samples_appended_total", "0+50x20 1000x90", FLOATS),
        since=25,
        labels=PROMETHEUS,
        # Newer ones count histograms apart, of which there are none.
        quiet=(
            of_prometheus("tsdb_head_samples_appended_total", "0+50x90", FLOATS)
            | of_prometheus("tsdb_head_samples_appended_total", "0x90", ',type="histogram"'),
        ),
    ),
    "AlertmanagerMissing": Case(
        fires=of_prometheus("notifications_alertmanagers_discovered", "1x2 0x90"),
        since=3,
        labels=PROMETHEUS,
        quiet=(of_prometheus("notifications_alertmanagers_discovered", "1x90"),),
    ),
    "AlertsDropped": Case(
        fires=of_prometheus("notifications_dropped_total", "0x9 1+1x90"),
        since=10,
        labels=PROMETHEUS,
        quiet=(of_prometheus("notifications_dropped_total", "9x90"),),
    ),
    "AlertmanagerConfigBad": Case(
        fires={RELOADED: "1x2 0x90"},
        since=3,
        labels=ALERTMANAGER,
        quiet=({RELOADED: "1x90"},),
    ),
    "NotificationsFailing": Case(
        fires=failed("0x9 1+1x90") | failed("0x90", "webhook"),
        since=10,
        labels={"instance": ALERTMANAGER["instance"], "integration": "email"},
        quiet=(failed("4x90"),),
    ),
}
