from tests.observability.alert_cases import Case

WEB = 'job="sigilo-web",instance="web-1:8000"'


def logins(outcome: str) -> str:
    return f'sigilo_logins_total{{{WEB},outcome="{outcome}"}}'


REFUSALS = f'sigilo_refusals_total{{{WEB},reason="forbidden"}}'
LIMITED = f'sigilo_rate_limited_total{{{WEB},bucket="login"}}'

CASES = {
    "LoginFailuresBurst": Case(
        fires={logins("failure"): "0+9x90", logins("locked"): "0+3x90"},
        since=5,
        quiet=({logins("failure"): "0+9x90", logins("success"): "0+500x90"}, {logins("failure"): "0x9 45x90"}),
    ),
    "RefusalsMany": Case(
        fires={REFUSALS: "0+11x90"},
        since=10,
        quiet=({REFUSALS: "0+9x90"},),
    ),
    "QuotaRefusalsMany": Case(
        fires={LIMITED: "0+70x90"},
        since=9,
        labels={"bucket": "login"},
        quiet=({LIMITED: "0+59x90"},),
    ),
    "AccessAlertsWaiting": Case(
        fires={
            f"sigilo_access_alerts_oldest_age_seconds{{{WEB}}}": "86395+60x90",
            'sigilo_access_alerts_oldest_age_seconds{job="sigilo-web",instance="web-2:8000"}': "86395+60x90",
        },
        since=1,
        # Some always wait, and none for a day.
        quiet=({f"sigilo_access_alerts_oldest_age_seconds{{{WEB}}}": "79000+60x120 600+60x120"},),
    ),
    "EmergencyAccessesUnreviewed": Case(
        fires={f"sigilo_emergency_accesses_oldest_age_seconds{{{WEB}}}": "86395+60x90"},
        since=1,
        quiet=({f"sigilo_emergency_accesses_oldest_age_seconds{{{WEB}}}": "79000+60x120 600+60x120"},),
    ),
}
