"""Who may read metrics: an address in the allowed networks, or whoever has the token. One rule for every process."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

ONLY_FOR = "Metrics are for the networks in METRICS_NETWORKS, or with METRICS_TOKEN."


def may_read_metrics(
    address: IPv4Address | IPv6Address | None,
    authorization: str,
    *,
    networks: Iterable[IPv4Network | IPv6Network],
    token: str,
) -> bool:
    """``address``: whose request it is, None when that is not known; ``authorization``: that header."""
    given = authorization.removeprefix("Bearer ")
    if token and hmac.compare_digest(given.encode(), token.encode()):
        return True
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address is not None and any(
        address.version == network.version and address in network for network in networks
    )
