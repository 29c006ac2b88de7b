"""Which address a request comes from: SECURITY 13."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from config import Network
from services.login_failures import address_key
from web.client_address import client_address, is_trusted_proxy

NONE: tuple[()] = ()
PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "expected"),
    [
        ("203.0.113.7", "198.51.100.1", NONE, "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", PROXIES, "203.0.113.7"),
        ("10.0.0.1", "198.51.100.1", PROXIES, "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1", PROXIES, "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.0.0.9", PROXIES, "198.51.100.1"),
        ("10.0.0.1", "10.0.0.8, 10.0.0.9", PROXIES, "10.0.0.8"),
        ("10.0.0.1", "198.51.100.1, nonsense", PROXIES, "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1:4711", PROXIES, "198.51.100.1"),
        ("10.0.0.1", "[2001:db8::1]:4711", PROXIES, "2001:db8::1"),
        ("::ffff:10.0.0.1", "198.51.100.1", PROXIES, "198.51.100.1"),
        ("10.0.0.1", None, PROXIES, "10.0.0.1"),
        ("10.0.0.1", "", PROXIES, "10.0.0.1"),
        ("10.0.0.1", "1.1.1.1," * 1000, PROXIES, "10.0.0.1"),
        (None, "198.51.100.1", PROXIES, None),
        ("unix:", "198.51.100.1", PROXIES, None),
    ],
)
def test_security_13_the_rightmost_hop_that_is_no_trusted_proxy_counts(
    peer: str | None, forwarded: str | None, trusted: tuple[Network, ...], expected: str | None
) -> None:
    assert client_address(peer, forwarded, trusted) == expected


def test_security_13_trust_is_in_the_peer() -> None:
    assert is_trusted_proxy("10.1.2.3", PROXIES)
    assert not is_trusted_proxy("10.1.2.3", NONE)
    assert not is_trusted_proxy("203.0.113.7", PROXIES)
    assert not is_trusted_proxy(None, PROXIES)


def test_an_ipv6_line_counts_as_one_address() -> None:
    assert address_key("2001:db8:1:2:3:4:5:6") == address_key("2001:db8:1:2:ffff::1") == "2001:db8:1:2::/64"
    assert address_key("2001:db8:1:3::1") != address_key("2001:db8:1:2::1")
    assert address_key("203.0.113.7") == "203.0.113.7"
    assert address_key(None) is None
