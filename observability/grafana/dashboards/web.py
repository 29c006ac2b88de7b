"""How requests are answered, by route and never by path, and what the proxy in front of them says."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from observability.grafana.page import choice, page
from observability.grafana.panels import Query, Words, above, bars, below, cloud, figure, listing, trend
from observability.grafana.queries import (
    REQUESTS,
    answered_within,
    by_class,
    failed_share,
    within,
    worked_share,
)
from observability.grafana.runbooks import Runbook
from observability.grafana.traces import traces

CHOSEN = 'url_rule=~"$rule"'
OVER = "$__rate_interval"

SERVED = (
    figure(
        "Requests a second",
        Query(f"sum(rate({REQUESTS}_count{{{CHOSEN}}}[{OVER}]))"),
        words=Words(
            "All requests of the chosen routes, whatever their answer.",
            "Follows the clinic's day; an open page asks once a second whether anything changed.",
            Runbook.WEB,
        ),
        unit="reqps",
        width=6,
    ),
    figure(
        "Requests that worked",
        Query(worked_share("$__range", CHOSEN)),
        words=Words(
            "Share of requests in the time shown that did not end in an error of ours (5xx).",
            "Above 99.9 %.",
            Runbook.WEB,
        ),
        unit="percentunit",
        levels=below(0.999, 0.995),
        decimals=2,
        width=6,
    ),
    figure(
        "Answered within 300 ms",
        Query(
            f'sum(rate({REQUESTS}_bucket{{le="0.3", {CHOSEN}}}[$__range]))'
            f" / sum(rate({REQUESTS}_count{{{CHOSEN}}}[$__range]))"
        ),
        words=Words(
            "Share of requests in the time shown that nobody noticed waiting for.",
            "Above 99 %.",
            Runbook.WEB,
        ),
        unit="percentunit",
        levels=below(0.99, 0.95),
        decimals=2,
        width=6,
    ),
    figure(
        "In progress",
        Query("sum(sigilo_http_requests_in_progress)"),
        words=Words(
            "Requests being answered at this moment, in all processes.",
            "A few. As many as there are threads (8 a process) means that further ones wait.",
            Runbook.WEB,
        ),
        levels=above(12, 16),
        width=6,
    ),
)
OVER_TIME = (
    trend(
        "Requests by outcome",
        Query(by_class(OVER, CHOSEN), "{{class}}xx"),
        words=Words(
            "Requests a second by the class of their answer.",
            "2xx and 3xx lead; 4xx are a few per cent; there is no 5xx.",
            Runbook.WEB,
        ),
        unit="reqps",
        stacked=True,
    ),
    trend(
        "Errors of ours",
        Query(failed_share(OVER, CHOSEN), "share of requests"),
        words=Words(
            "Share of requests that ended in a 5xx.",
            "0. The goal leaves one in a thousand; 14 in a thousand use up a month's share in two days.",
            Runbook.WEB,
        ),
        unit="percentunit",
        levels=above(0.001, 0.0144),
    ),
    trend(
        "How long requests take",
        Query(answered_within(0.5, OVER, CHOSEN), "half within"),
        Query(answered_within(0.95, OVER, CHOSEN), "95 % within", exemplar=True),
        Query(answered_within(0.99, OVER, CHOSEN), "99 % within"),
        words=Words(
            "Times within which requests are answered. Points are single requests: they open their trace.",
            "Half within 50 ms, 95 % within 300 ms.",
            Runbook.WEB,
        ),
        unit="s",
        levels=above(0.3),
    ),
    cloud(
        "Requests by duration",
        Query(f"sum by (le) (increase({REQUESTS}_bucket{{{CHOSEN}}}[{OVER}]))", "{{le}}"),
        words=Words(
            "How many requests took how long: a second band far above the first is a way of its own that is slow.",
            "One band below 50 ms.",
            Runbook.WEB,
        ),
    ),
)
ROUTES = (
    bars(
        "Slowest routes",
        Query(f"topk(10, {within(REQUESTS, 0.95, '$__range', CHOSEN, 'url_rule')} > 0)", "{{url_rule}}"),
        words=Words(
            "Routes by the time within which 95 of 100 of their requests were answered, in the time shown.",
            "Exports, prints and /system lead, below a second; lists and records stay below 100 ms.",
            Runbook.WEB,
        ),
        unit="s",
        levels=above(0.3, 1),
    ),
    listing(
        "Routes by requests",
        Query(f"topk(15, sum by (method, url_rule, status) (increase({REQUESTS}_count{{{CHOSEN}}}[$__range])))"),
        columns={"method": "Method", "url_rule": "Route", "status": "Status", "Value": "Requests"},
        words=Words(
            "What was asked for most in the time shown, with its answer.",
            "/live leads: open pages ask it once a second.",
            Runbook.WEB,
        ),
    ),
    trend(
        "Requests that were refused",
        Query(f"sum by (reason) (rate(sigilo_refusals_total[{OVER}]))", "{{reason}}"),
        words=Words(
            "Requests refused for want of a right, a second.",
            "Next to none: pages offer nothing that their reader may not do. A burst is somebody trying doors.",
            Runbook.PRIVACY,
        ),
        unit="reqps",
    ),
    trend(
        "Requests over their quota",
        Query(f"sum by (bucket) (rate(sigilo_rate_limited_total[{OVER}]))", "{{bucket}}"),
        words=Words(
            "Requests answered 429, a second, by what is counted.",
            "Next to none. The page /rate-limits says whose they are.",
            Runbook.PRIVACY,
        ),
        unit="reqps",
    ),
)
PROXY = (
    trend(
        "Requests at the proxy",
        Query(
            f'sum by (code) (rate(caddy_http_request_duration_seconds_count{{job="caddy"}}[{OVER}]))', "{{code}}"
        ),
        words=Words(
            "What the proxy in front of Sigilo answered, a second. More 502 or 503 than above is what never got to us.",
            "The same as above, and no 502.",
            Runbook.WEB,
        ),
        unit="reqps",
        stacked=True,
    ),
    trend(
        "Servers behind the proxy",
        Query('caddy_reverse_proxy_upstreams_healthy{job="caddy"}', "{{upstream}}"),
        words=Words(
            "Whether the proxy believes each server behind it to be well.",
            "1 for the colour that serves.",
            Runbook.WEB,
        ),
        levels=above(1),
        highest=1,
    ),
    traces(
        "Slow requests, traced",
        '{ resource.service.namespace = "sigilo" && kind = server && duration > 500ms }',
        words=Words(
            "Newest sampled requests that took longer than half a second: each opens as a tree, with its statements.",
            "Empty, or exports.",
            Runbook.WEB,
        ),
        width=24,
    ),
)


def build() -> Dashboard:
    return page(
        "web",
        "Sigilo: web",
        "How requests are answered: how many, how fast, how they fail and who is refused.",
        (
            ("Is it served?", SERVED),
            ("Over time", OVER_TIME),
            ("By route", ROUTES),
            ("Before and behind", PROXY),
        ),
        (choice("rule", "Route", f"label_values({REQUESTS}_count, url_rule)"),),
    )
