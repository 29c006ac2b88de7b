"""The list: every check in the order in which a deployment meets it. Rows are those of the original analysis."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from embedded.preflight import acts, hour, logs, network, queries, readiness, reused
from embedded.preflight.check import Check, Outcome, Phase
from embedded.preflight.ground import Ground
from embedded.preflight.host import look_at_host

BEFORE, DURING, AFTER = Phase.BEFORE, Phase.DURING, Phase.AFTER
CHECKS = (
    Check(BEFORE, 23, "Database and Redis have no public address", readiness.servers_are_private),
    Check(BEFORE, 20, "Backup is done and drilled", readiness.backup_is_drilled),
    Check(BEFORE, 18, "Mail alerts arrive", readiness.mail_is_taken),
    Check(BEFORE, 16, "Load is as in the baseline", readiness.load_is_as_before),
    Check(BEFORE, 16, "Queries take less than 100 ms", queries.queries_are_quick),
    Check(BEFORE, 24, "The way back is documented", readiness.way_back_is_written),
    Check(DURING, 23, "TLS 1.1 is refused", network.old_tls_is_refused),
    Check(DURING, 23, "HTTP is redirected", network.plain_http_is_redirected),
    Check(DURING, 23, "HSTS", network.browsers_stay_with_https),
    Check(DURING, 23, "CORS: foreign origins get nothing", network.foreign_origins_get_nothing),
    Check(DURING, 18, "Metrics", network.metrics_are_there),
    Check(DURING, 24, "Logs tell of no error", logs.logs_tell_of_no_error),
    Check(AFTER, 24, "Endpoints answer", acts.endpoints_answer),
    Check(AFTER, 24, "Rate limits hold", acts.quota_holds),
    Check(AFTER, 24, "Acts are in the trail", acts.acts_are_in_the_trail),
    Check(AFTER, 24, "Cache: nothing about patients", acts.patients_are_not_cached),
    Check(AFTER, 24, "Error rate", hour.errors_are_rare),
    Check(AFTER, 24, "Latency", hour.pages_are_quick),
    Check(AFTER, 24, "Queries take less than 100 ms", queries.queries_are_quick),
    Check(AFTER, 24, "No work failed for good", hour.nothing_failed_for_good),
    Check(AFTER, 24, "Timed jobs", hour.jobs_are_on_time),
    Check(AFTER, 20, "Backups", hour.backups_are_well),
    Check(AFTER, 24, "The trail is fresh", hour.trail_is_fresh),
    Check(AFTER, 18, "No alert fires", hour.no_alert_fires),
)


def run(ground: Ground, phases: Collection[Phase]) -> Iterator[Outcome]:
    """Every check of ``phases``, one after the other, whatever the others found."""
    if BEFORE in phases:
        yield from look_at_host(ground)
    everything = [*reused.checks(), *CHECKS]
    for phase in Phase:
        if phase in phases:
            yield from (check.run(ground) for check in everything if check.phase is phase)
