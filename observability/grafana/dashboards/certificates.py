"""The clinic's address as somebody outside sees it: its certificate, its encryption, whether it answers."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from observability.grafana.page import page
from observability.grafana.panels import YES_IS_GOOD, Query, Words, above, bars, below, figure, listing, trend
from observability.grafana.runbooks import Runbook

PROBE = 'job="blackbox"'
LASTING, HOURLY = f'{PROBE}, renewed!="hourly"', f'{PROBE}, renewed="hourly"'

STANDING = (
    figure(
        "Answers from outside",
        Query(f"min(probe_success{{{PROBE}}})"),
        words=Words(
            "Whether every address that is probed answers as it should.",
            "Yes. When the processes are up all the same, the way to them is not: proxy, name, firewall, certificate.",
            Runbook.HOST,
        ),
        levels=YES_IS_GOOD,
        states={0: "No", 1: "Yes"},
        width=8,
    ),
    figure(
        "First certificate ends in",
        Query(f"min(probe_ssl_earliest_cert_expiry{{{LASTING}}} - time())"),
        words=Words(
            "Until the first certificate ends, of those that live for weeks. Then browsers refuse the address.",
            "More than 20 days: it is renewed by itself at 30.",
            Runbook.HOST,
        ),
        unit="s",
        levels=below(1_728_000, 604_800),
        width=8,
    ),
    figure(
        "Answered in",
        Query(f"max(probe_duration_seconds{{{PROBE}}})"),
        words=Words(
            "How long the slowest address took, name, connection, encryption and answer together.",
            "Below half a second.",
            Runbook.WEB,
        ),
        unit="s",
        levels=above(0.5, 2),
        width=8,
    ),
)
ADDRESSES = (
    bars(
        "Certificates end in",
        Query(f"sort(probe_ssl_earliest_cert_expiry{{{LASTING}}} - time())", "{{instance}}"),
        words=Words(
            "Until the certificate of each address ends.",
            "More than 20 days.",
            Runbook.HOST,
        ),
        unit="s",
        levels=below(1_728_000, 604_800),
    ),
    bars(
        "Certificates of the proxy's own end in",
        Query(f"sort(probe_ssl_earliest_cert_expiry{{{HOURLY}}} - time())", "{{instance}}"),
        words=Words(
            "The same of addresses whose certificates the proxy makes by itself (SIGILO_TLS is internal), for half a"
            " day. No data: there are none.",
            "Between four and twelve hours.",
            Runbook.HOST,
        ),
        unit="s",
        levels=below(12_600, 7_200),
    ),
    listing(
        "Encryption",
        Query(f"probe_tls_version_info{{{PROBE}}}"),
        columns={"instance": "Address", "version": "Version", "Value": "Used"},
        words=Words(
            "Which version of TLS each address agrees on.",
            "TLS 1.3. Less than 1.2 is refused by the proxy.",
            Runbook.HOST,
        ),
        width=8,
    ),
    trend(
        "Answers",
        Query(f"avg by (instance) (probe_success{{{PROBE}}})", "{{instance}}"),
        words=Words("Whether each address answers as it should.", "1 all the time.", Runbook.HOST),
        levels=above(1),
        highest=1,
        width=8,
    ),
    trend(
        "Where the time goes",
        Query(f"avg by (phase) (probe_http_duration_seconds{{{PROBE}}})", "{{phase}}"),
        words=Words(
            "Parts of a probe: name, connection, encryption, our own work, transfer.",
            "All small. Only processing is ours.",
            Runbook.WEB,
        ),
        unit="s",
        stacked=True,
        width=8,
    ),
)


def build() -> Dashboard:
    return page(
        "certificates",
        "Sigilo: certificates",
        "The clinic's address as somebody outside sees it.",
        (("How is it?", STANDING), ("Addresses", ADDRESSES)),
        shown="now-24h",
    )
