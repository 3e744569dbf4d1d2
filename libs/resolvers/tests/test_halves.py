"""Lists out of half answers, without a lookup."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from tailring_resolvers.halves import SILENCE_MAX, Families

Address = IPv4Address | IPv6Address


def ips(*texts: str) -> tuple[Address, ...]:
    """Addresses of their text."""
    return tuple(ip_address(one) for one in texts)


def test_a_whole_answer_is_the_list() -> None:
    """When both families answered, nothing older is in the list."""
    families = Families()
    families.whole(ips("10.0.0.1", "fd00::1"))
    assert families.whole(ips("10.0.0.2")) == ips("10.0.0.2")
    assert families.half(ips("10.0.0.3"), missing="AAAA") == ips("10.0.0.3")


def test_an_answer_starts_the_silence_again() -> None:
    """A family that answered in between has its whole time again."""
    families = Families()
    families.whole(ips("10.0.0.1", "fd00::1"))
    for _ in range(SILENCE_MAX - 1):
        families.half(ips("10.0.0.1"), missing="AAAA")
    families.whole(ips("10.0.0.1", "fd00::2"))
    for _ in range(SILENCE_MAX - 1):
        found = families.half(ips("10.0.0.1"), missing="AAAA")
    assert found == ips("10.0.0.1", "fd00::2")
    assert families.half(ips("10.0.0.1"), missing="AAAA") == ips("10.0.0.1")


def test_families_that_answer_in_turn_are_both_kept() -> None:
    """When now one family fails and now the other, neither is ever silent for long."""
    families = Families()
    families.whole(ips("10.0.0.1", "fd00::1"))
    for _ in range(2 * SILENCE_MAX):
        families.half(ips("10.0.0.1"), missing="AAAA")
        found = families.half(ips("fd00::1"), missing="A")
        assert set(found) == set(ips("10.0.0.1", "fd00::1"))


def test_a_mapped_address_belongs_to_the_family_that_brought_it() -> None:
    """IPv4 inside of an AAAA record is kept while AAAA is silent, not while A is."""
    families = Families()
    listed = ips("10.0.0.2", "::ffff:10.0.0.1")
    families.whole(listed)
    assert families.half(ips("10.0.0.2"), missing="AAAA") == listed
    assert families.half((), missing="A") == ips("10.0.0.2")
