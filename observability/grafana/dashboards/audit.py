"""The trail, and what is done with the duty of secrecy: masks, reveals, emergency accesses, refusals, sign-ins."""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat
from grafana_foundation_sdk.models.dashboard import Dashboard

from observability.grafana.page import page
from observability.grafana.panels import YES_IS_BAD, Query, Words, above, bars, figure, trend
from observability.grafana.runbooks import Runbook

OVER = "$__rate_interval"


def oldest_unsealed() -> stat.Panel:
    """On the overview too. Made anew each time: a page gives its panels their number and place."""
    return figure(
        "Oldest unsealed event",
        Query("max(sigilo_audit_outbox_age_seconds)"),
        words=Words(
            "How long the oldest act waits to be sealed into the trail.",
            "Seconds. Above 60 s the worker that seals is away, or slower than the clinic.",
            Runbook.TRAIL,
        ),
        unit="s",
        levels=above(60, 300),
    )


TRAIL = (
    oldest_unsealed(),
    figure(
        "Not covered by a checkpoint",
        Query("max(sigilo_audit_checkpoint_overdue_seconds)"),
        words=Words(
            "Since the oldest event that no signed checkpoint covers: what nobody outside could prove yet.",
            "Below a minute and a half.",
            Runbook.TRAIL,
        ),
        unit="s",
        levels=above(120, 600),
    ),
    figure(
        "Last verification",
        Query("max(sigilo_audit_verification_failed)"),
        words=Words(
            "What the last recomputation of the whole trail found.",
            "Intact. Otherwise somebody or something changed it: begin with the runbook, touch nothing.",
            Runbook.TRAIL,
        ),
        levels=YES_IS_BAD,
        states={0: "Intact", 1: "Altered"},
    ),
    figure(
        "Verified",
        Query("time() - max(sigilo_audit_verified_timestamp_seconds)"),
        words=Words(
            "Since the trail was last found intact.",
            "Below 26 hours: it is done every night.",
            Runbook.TRAIL,
        ),
        unit="s",
        levels=above(93_600, 180_000),
    ),
    figure(
        "Accesses to review",
        Query("max(sigilo_access_alerts_open)"),
        words=Words(
            "Unusual accesses that no auditor has looked at.",
            "Few, and gone within a day.",
            Runbook.PRIVACY,
        ),
        levels=above(5, 20),
    ),
    figure(
        "Emergencies to review",
        Query("max(sigilo_emergency_accesses_unreviewed)"),
        words=Words(
            "Emergency accesses that ended and that nobody has reviewed.",
            "0 after a working day.",
            Runbook.PRIVACY,
        ),
        levels=above(1, 5),
    ),
)
SEALING = (
    trend(
        "Events on their way",
        Query("max(sigilo_audit_outbox_events)", "unsealed"),
        words=Words(
            "Events that are committed and not yet sealed.",
            "A few hundred at most, down to 0 in seconds.",
            Runbook.TRAIL,
        ),
    ),
    trend(
        "Events sealed",
        Query(f"sum(rate(sigilo_audit_events_sealed_total[{OVER}]))", "events"),
        words=Words(
            "Events that became part of the trail, a second.",
            "As many as there are acts: one for each list, record, sign-in or refusal.",
            Runbook.TRAIL,
        ),
        unit="ops",
    ),
    trend(
        "Age of the oldest unsealed event",
        Query("max(sigilo_audit_outbox_age_seconds)", "age"),
        words=Words("How late the trail is.", "Below 60 s: that is its goal.", Runbook.TRAIL),
        unit="s",
        levels=above(60),
    ),
    bars(
        "Checkpoints that could not be kept elsewhere",
        Query("max by (sink) (sigilo_audit_checkpoint_sink_failed)", "{{sink}}"),
        words=Words(
            "1 for each place outside that did not take the newest checkpoint.",
            "0 everywhere. What no place outside holds, an intruder could sign anew.",
            Runbook.TRAIL,
        ),
        levels=YES_IS_BAD,
        highest=1,
    ),
)
SECRECY = (
    trend(
        "Masked answers",
        Query(f"sum(rate(sigilo_masked_answers_total[{OVER}]))", "answers"),
        words=Words(
            "Answers about one record or patient that their reader saw masked, a second.",
            "A steady share: reception and colleagues outside of the care team.",
            Runbook.PRIVACY,
        ),
        unit="ops",
    ),
    trend(
        "Clear beyond the usual",
        Query(f"sum by (kind) (increase(sigilo_reveals_total[{OVER}]))", "{{kind}}"),
        words=Words(
            "Acts that showed or took out clear data beyond a reader's own patients: emergencies, prints, exports.",
            "Few, in the clinic's hours. Exports at night want a reason.",
            Runbook.PRIVACY,
        ),
        stacked=True,
    ),
    trend(
        "Emergency accesses",
        Query("max(sigilo_emergency_accesses_open)", "running"),
        Query("max(sigilo_emergency_accesses_unreviewed)", "to review"),
        words=Words(
            "Accesses for which somebody broke the glass: each runs for 30 minutes and owes a review.",
            "Rare. Many of one person is no emergency.",
            Runbook.PRIVACY,
        ),
    ),
    trend(
        "Refused",
        Query(f"sum by (reason) (rate(sigilo_refusals_total[{OVER}]))", "{{reason}}"),
        words=Words(
            "Requests refused for want of a right, a second.",
            "Next to none: pages offer nothing that their reader may not do.",
            Runbook.PRIVACY,
        ),
        unit="reqps",
    ),
)
SIGN_INS = (
    trend(
        "Attempts to sign in",
        Query(f"sum by (outcome) (increase(sigilo_logins_total[{OVER}]))", "{{outcome}}"),
        words=Words(
            "Attempts to sign in by what became of them.",
            "Nearly all succeed. Many failures on many accounts is somebody trying passwords; accounts lock at 10.",
            Runbook.PRIVACY,
        ),
        stacked=True,
        width=8,
    ),
    trend(
        "People signed in",
        Query("max by (role) (sigilo_sessions)", "{{role}}"),
        words=Words(
            "Sessions that are neither ended nor timed out, by role.",
            "Follows the clinic's day.",
            Runbook.PRIVACY,
        ),
        stacked=True,
        width=8,
    ),
    trend(
        "Over their quota",
        Query(f"sum by (bucket) (increase(sigilo_rate_limited_total[{OVER}]))", "{{bucket}}"),
        words=Words(
            "Requests answered 429, by what is counted.",
            "Next to none. The page /rate-limits says whose they are.",
            Runbook.PRIVACY,
        ),
        width=8,
    ),
)


def build() -> Dashboard:
    return page(
        "audit",
        "Sigilo: audit and privacy",
        "Whether the trail is written and intact, and how the duty of secrecy is kept.",
        (
            ("How is it?", TRAIL),
            ("The way into the trail", SEALING),
            ("Secrecy", SECRECY),
            ("Sign-ins", SIGN_INS),
        ),
    )
