"""PromQL that several panels share: shares and times of requests. Each is asked for over a range of its own."""

from __future__ import annotations

REQUESTS = "sigilo_http_request_duration_seconds"


def failed_share(over: str, matching: str = "") -> str:
    """Share of requests that ended in an error of ours; 0, and not nothing, as long as none did."""
    failed = f'sum(rate({REQUESTS}_count{{status=~"5..", {matching}}}[{over}]))'
    every = f"sum(rate({REQUESTS}_count{{{matching}}}[{over}]))"
    return f"({failed} or 0 * {every}) / {every}"


def worked_share(over: str, matching: str = "") -> str:
    """Share of requests that did not."""
    return f"1 - {failed_share(over, matching)}"


def answered_within(share: float, over: str, matching: str = "", by: str = "") -> str:
    """Seconds within which ``share`` of the requests are answered."""
    return within(REQUESTS, share, over, matching, by)


def within(histogram: str, share: float, over: str, matching: str = "", by: str = "") -> str:
    """Seconds within which ``share`` of what ``histogram`` counted ended, apart by the labels ``by``."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({histogram}_bucket{{{matching}}}[{over}])))"


def by_class(over: str, matching: str = "") -> str:
    """Requests a second by the first digit of their status, as the label ``class``."""
    each = f'label_replace(rate({REQUESTS}_count{{{matching}}}[{over}]), "class", "$1", "status", "(.)..")'
    return f"sum by (class) ({each})"
