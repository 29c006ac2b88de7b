"""Where a request came from. A header is believed only from a proxy that the settings name (SECURITY 13)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from config import Network

Address = IPv4Address | IPv6Address
HEADER_MAX = 2_000


def parse_address(text: str) -> Address | None:
    """An IP address, with a port or brackets around it allowed; IPv4 inside IPv6 becomes IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


@lru_cache(maxsize=4096)
def client_address(peer: str | None, forwarded: str | None, trusted: tuple[Network, ...]) -> str | None:
    """The client's address: the peer's, or what the nearest hop outside ``trusted`` wrote.

    Each proxy appends the address it saw, so the list is read from its right end for as long as the address
    is a trusted proxy's; everything left of the first other address was written by anybody.
    """
    address = parse_address(peer or "")
    if address is None:
        return None
    if forwarded is None or len(forwarded) > HEADER_MAX:
        return str(address)
    for hop in reversed(forwarded.split(",")):
        if not is_within(address, trusted):
            break
        nearer = parse_address(hop)
        if nearer is None:
            break
        address = nearer
    return str(address)


def is_trusted_proxy(peer: str | None, trusted: tuple[Network, ...]) -> bool:
    """Whether ``peer`` itself is a proxy whose headers count."""
    if not trusted:
        return False
    address = parse_address(peer or "")
    return address is not None and is_within(address, trusted)
