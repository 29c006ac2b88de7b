from tests.observability.alert_cases import NOT_KNOWN, Case, Series
from tests.observability.alert_cases.web import requests, within

WEB = 'job="sigilo-web",instance="web-1:8000"'


def answers(good: float, bad: float, times: int = 400) -> Series:
    """So many a step."""
    return {requests("200"): f"0+{good}x{times}", requests("503"): f"0+{bad}x{times}"}


def durations(quick: float, slow: float, times: int = 400) -> Series:
    """So many a step: below 300 ms, and above."""
    return {requests("200"): f"0+{quick + slow}x{times}", within("0.3"): f"0+{quick}x{times}"}


def reached(values: str) -> Series:
    """By the probe from outside; Prometheus reaches the server all the time."""
    return {
        'probe_success{job="blackbox",probe="readyz",instance="https://clinic/readyz"}': values,
        f"up{{{WEB}}}": "1x2000",
    }


def sealed(values: str) -> Series:
    return {f"sigilo_audit_outbox_age_seconds{{{WEB}}}": values}


def backup(values: str) -> Series:
    return {f"sigilo_backup_last_good_timestamp_seconds{{{WEB}}}": values}


def named(slo: str) -> dict[str, str]:
    return {"slo": slo}


CASES = {
    "AvailabilityBudgetBurnsFast": Case(
        fires=answers(9_800, 200),
        since=1,
        until=140,
        labels=named("availability"),
        quiet=(
            # Slower than that is the other alert's.
            answers(9_950, 50),
            # Three failures of a hundred requests in the whole hour, at night.
            {requests("200"): "0+2x90", requests("503"): "0x9 3x90"},
            # More than half of one minute, and a hundredth of the hour.
            {requests("200"): "0+10000x200", requests("503"): "0x120 6000x90"},
        ),
    ),
    "AvailabilityBudgetBurnsSlowly": Case(
        fires=answers(9_950, 50),
        since=5,
        step=5,
        labels=named("availability"),
        quiet=(answers(9_995, 5),),
    ),
    # 1.44 % of an hour are 52 seconds.
    "ReachabilityBudgetBurnsFast": Case(
        fires=reached("1x200 0x90"),
        since=201,
        labels=named("reachability"),
        quiet=(
            reached("1x400"),
            # Where nobody asks from outside, what Prometheus itself reaches counts; one of two is enough.
            {f"up{{{WEB}}}": "1x200 0x90", 'up{job="sigilo-web",instance="web-2:8000"}': "1x400"},
        ),
    ),
    "ReachabilityBudgetBurnsSlowly": Case(
        # A quarter of an hour in every seven, after a day that was good.
        fires=reached("1x96 " + "0 1x28 " * 50),
        since=1455,
        step=15,
        labels=named("reachability"),
        quiet=(reached("1x2000"),),
    ),
    "LatencyBudgetBurnsFast": Case(
        fires=durations(8_000, 2_000),
        since=1,
        labels=named("latency"),
        quiet=(durations(9_500, 500), durations(1, 0.06)),
    ),
    "LatencyBudgetBurnsSlowly": Case(
        fires=durations(9_500, 500),
        since=5,
        step=5,
        labels=named("latency"),
        quiet=(durations(9_950, 50),),
    ),
    # 7.2 % of an hour are five minutes.
    "TrailFreshnessBudgetBurnsFast": Case(
        fires=sealed("0x200 90x90"),
        since=205,
        labels=named("trail_freshness"),
        quiet=(sealed("0x200 90x3 0x90"), sealed("60x300"), sealed(f"0x200 {NOT_KNOWN}")),
    ),
    "TrailFreshnessBudgetBurnsSlowly": Case(
        # One look in six finds it late, after a day that was good.
        fires=sealed("0x96 " + "90 0x5 " * 9),
        since=1455,
        step=15,
        labels=named("trail_freshness"),
        quiet=(sealed("60x400"),),
    ),
    # Of the first minute of 1970, so 26 h old at minute 1561.
    "BackupFreshnessBudgetBurnsFast": Case(
        fires=backup("60x400"),
        since=1580,
        step=10,
        labels=named("backup_freshness"),
        quiet=(backup("60x156 90000x400"), backup("0x400")),
    ),
    "BackupFreshnessBudgetBurnsSlowly": Case(
        fires=backup("60x400"),
        since=1590,
        step=30,
        labels=named("backup_freshness"),
        quiet=(backup("60x51 90000x400"), backup("0x400")),
    ),
}
