from tests.observability.alert_cases import Case

WEB = 'job="sigilo-web",instance="web-1:8000"'


def requests(status: str, rule: str = "/patients") -> str:
    return f'sigilo_http_request_duration_seconds_count{{{WEB},method="GET",url_rule="{rule}",status="{status}"}}'


def within(seconds: str, status: str = "200") -> str:
    labels = f'{WEB},method="GET",url_rule="/patients",status="{status}",le="{seconds}"'
    return f"sigilo_http_request_duration_seconds_bucket{{{labels}}}"


def pool(what: str, principal: str = "staff") -> str:
    return f'sigilo_db_pool_{what}{{{WEB},principal="{principal}"}}'


READYZ = 'probe_success{job="blackbox",probe="readyz",instance="https://clinic/readyz"}'

CASES = {
    "ClinicUnreachable": Case(
        fires={READYZ: "1x2 0x90"},
        since=3,
        labels={"job": "blackbox", "probe": "readyz", "instance": "https://clinic/readyz"},
        quiet=({READYZ: "1x2 0 1 0 1 0 1x60"}, {'probe_success{job="blackbox",probe="other",instance="x"}': "0x90"}),
    ),
    "WebDown": Case(
        fires={
            f"up{{{WEB}}}": "1x2 0x90",
            'up{job="sigilo-web",instance="web-2:8000"}': "1x2 0x90",
            'up{job="node",instance="node-exporter:9100"}': "1x90",
        },
        since=3,
        quiet=({f"up{{{WEB}}}": "0x90", 'up{job="sigilo-web",instance="web-2:8000"}': "1x90"},),
    ),
    "InstanceDown": Case(
        fires={'up{job="redis",instance="redis-exporter:9121"}': "1x2 0x90"},
        since=3,
        labels={"job": "redis", "instance": "redis-exporter:9121"},
        quiet=({'up{job="redis",instance="redis-exporter:9121"}': "1x2 0x4 1x60"},),
    ),
    "JobMissing": Case(
        # A target that is gone is stale at once.
        fires={
            'up{job="sigilo-worker",instance="a"}': "1x30 stale",
            'up{job="sigilo-worker",instance="b"}': "1x30 stale",
            'up{job="node",instance="c"}': "1x900",
        },
        since=31,
        labels={"job": "sigilo-worker"},
        quiet=(
            {'up{job="sigilo-worker",instance="a"}': "1x30 stale", 'up{job="sigilo-worker",instance="b"}': "1x200"},
            {'up{job="sigilo-worker",instance="a"}': "0x200"},
        ),
    ),
    "ErrorRatioHigh": Case(
        fires={requests("200"): "0+90x90", requests("500"): "0+6x90"},
        since=1,
        quiet=(
            {requests("200"): "0+96x90", requests("500"): "0+4x90"},
            # A clinic asleep: one of two requests.
            {requests("200"): "0+3x90", requests("503"): "0+2x90"},
            # Health checks of a balancer are nobody's requests.
            {requests("200"): "0+90x90", requests("503", "/readyz"): "0+90x90"},
            {requests("404"): "0+90x90"},
        ),
    ),
    "LatencyHigh": Case(
        fires={
            requests("200"): "0+100x90", within("1.0"): "0+94x90", within("2.5"): "0+100x90", within("+Inf"): "0+100x90"
        },
        since=1,
        quiet=(
            {
                requests("200"): "0+100x90", within("0.5"): "0+94x90", within("1.0"): "0+96x90",
                within("2.5"): "0+100x90", within("+Inf"): "0+100x90",
            },
            {requests("200"): "0+5x90", within("1.0"): "0x90", within("2.5"): "0+5x90", within("+Inf"): "0+5x90"},
        ),
    ),
    "DatabasePoolExhausted": Case(
        fires={pool("timeouts_total"): "0x9 1+1x90", pool("timeouts_total", "patient"): "7x90"},
        since=10,
        labels={"principal": "staff"},
        quiet=({pool("timeouts_total"): "7x90"},),
    ),
    "DatabasePoolNearlyFull": Case(
        # Two web processes: together 19 of 20.
        fires={
            pool("in_use"): "9x90", pool("size"): "10x90",
            'sigilo_db_pool_in_use{job="sigilo-web",instance="web-2:8000",principal="staff"}': "10x90",
            'sigilo_db_pool_size{job="sigilo-web",instance="web-2:8000",principal="staff"}': "10x90",
        },
        since=0,
        labels={"principal": "staff"},
        quiet=(
            {pool("in_use"): "9x90", pool("size"): "10x90"},
            {pool("in_use"): "10x8 2x90", pool("size"): "10x90"},
        ),
    ),
}  # fmt: skip
