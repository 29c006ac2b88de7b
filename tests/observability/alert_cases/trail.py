from tests.observability.alert_cases import NOT_KNOWN, Case, Series

WEB, OTHER = 'job="sigilo-web",instance="web-1:8000"', 'job="sigilo-web",instance="web-2:8000"'


def state(name: str, values: str) -> Series:
    """As two web servers say it: what is the same in both is one alert."""
    return {f"sigilo_audit_{name}{{{web}}}": values for web in (WEB, OTHER)}


CASES = {
    "AuditOutboxOld": Case(
        fires=state("outbox_age_seconds", "0x2 61x90"),
        since=3,
        quiet=(state("outbox_age_seconds", "60x90"), state("outbox_age_seconds", "0 90 90 0 90 90 0x90")),
    ),
    "AuditOutboxStuck": Case(
        fires=state("outbox_age_seconds", "0x2 601x90"),
        since=3,
        quiet=(state("outbox_age_seconds", "600x90"), state("outbox_age_seconds", NOT_KNOWN)),
    ),
    "AuditVerificationFailed": Case(
        fires=state("verification_failed", "0x2 1x90"),
        since=3,
        quiet=(state("verification_failed", "0x90"),),
    ),
    # Minutes are counted from the year 1970: a verification at its first minute is 26 h old at minute 1561.
    "AuditVerificationOld": Case(
        fires=state("verified_timestamp_seconds", "60x99"),
        since=1590,
        step=30,
        quiet=(state("verified_timestamp_seconds", "60x51 90000x99"), state("verified_timestamp_seconds", "0x99")),
    ),
    "AuditNeverVerified": Case(
        fires=state("verified_timestamp_seconds", "0x99"),
        since=0,
        step=30,
        quiet=(state("verified_timestamp_seconds", "0x51 90000x99"),),
    ),
    "AuditCheckpointOverdue": Case(
        fires=state("checkpoint_overdue_seconds", "0x2 301x90"),
        since=3,
        quiet=(state("checkpoint_overdue_seconds", "300x90"), state("checkpoint_overdue_seconds", "400x4 0x90")),
    ),
    "AuditCheckpointSinkFailed": Case(
        fires={
            f'sigilo_audit_checkpoint_sink_failed{{{WEB},sink="s3"}}': "0x2 1x90",
            f'sigilo_audit_checkpoint_sink_failed{{{WEB},sink="mail"}}': "0x90",
        },
        since=3,
        labels={"sink": "s3"},
        quiet=({f'sigilo_audit_checkpoint_sink_failed{{{WEB},sink="s3"}}': "0x2 1x20 0x90"},),
    ),
}
