"""Ring names are verbatim; addresses always have a port."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from tailring_resolvers.dns_resolver import endpoint_of
from tailring_resolvers.endpoint import dial_address, named


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("10.0.0.1", "10.0.0.1:4317"),
        ("10.0.0.1:5000", "10.0.0.1:5000"),
        ("sampler-0", "sampler-0:4317"),
        ("sampler-0.ns:4317", "sampler-0.ns:4317"),
        ("[::1]:4317", "[::1]:4317"),
        ("[::1]", "[::1]:4317"),
        ("::1", "[::1]:4317"),
        ("fd00::1:4317", "[fd00::1:4317]:4317"),
        ("fe80::1%eth0", "[fe80::1%eth0]:4317"),
        ("[fe80::1%eth0]", "[fe80::1%eth0]:4317"),
        ("dns:///sampler", "dns:///sampler"),
        ("[no:address]", "[no:address]"),
        ("", ":4317"),
    ],
)
def test_dial_address(name: str, address: str) -> None:
    """A name without a port, and a bare IPv6 literal, are dialled on 4317."""
    assert dial_address(name) == address


def test_the_ring_name_is_verbatim() -> None:
    """Blanks, capitals and a missing port stay in the ring name."""
    assert named(" Host ").ring_name == " Host "
    assert named("::1").ring_name == "::1"


@pytest.mark.parametrize(
    ("address", "port", "ring_name", "dialled"),
    [
        ("10.0.0.1", "", "10.0.0.1", "10.0.0.1:4317"),
        ("10.0.0.1", "5000", "10.0.0.1:5000", "10.0.0.1:5000"),
        ("fd00::1", "", "[fd00::1]", "[fd00::1]:4317"),
        ("fd00:0:0::1", "4317", "[fd00::1]:4317", "[fd00::1]:4317"),
        ("::ffff:10.0.0.1", "", "10.0.0.1", "10.0.0.1:4317"),
        ("::ffff:10.0.0.1", "4317", "10.0.0.1:4317", "10.0.0.1:4317"),
        ("fe80::1%eth0", "1", "[fe80::1%eth0]:1", "[fe80::1%eth0]:1"),
    ],
)
def test_endpoint_of_an_address(
    address: str, port: str, ring_name: str, dialled: str
) -> None:
    """IPv4 is dotted, mapped or not; IPv6 is short and bracketed; the port follows."""
    endpoint = endpoint_of(ip_address(address), port=port)
    assert (endpoint.ring_name, endpoint.address) == (ring_name, dialled)
