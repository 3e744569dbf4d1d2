"""Whole lists out of half answers of DNS.

A and AAAA are two questions, and one of them may fail while the other answers. Rules:

* What a family answers is its list at once, also when the other one is silent: after a
  rolling restart every old address is dead.
* A family that is silent keeps the addresses that it answered last, for `SILENCE_MAX`
  answers of the other one; then they go. One that never answered has none to keep.
* A lookup in which both are silent says nothing, and counts as nothing.

No I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Literal

__all__ = ["SILENCE_MAX", "Families", "Family"]

# Half a minute at the usual interval: longer than servers are restarted, and shorter
# than the dead addresses of a silent family should hold up their part of the traces.
SILENCE_MAX: Final = 6

Family = Literal["A", "AAAA"]
_Address = IPv4Address | IPv6Address


class Families:
    """What each family answered last, and how long it has been silent."""

    def __init__(self) -> None:
        self._last: dict[Family, tuple[_Address, ...]] = {"A": (), "AAAA": ()}
        self._silent: dict[Family, int] = {"A": 0, "AAAA": 0}

    def silence(self, family: Family) -> int:
        """How many answers of the other one this family has missed in a row."""
        return self._silent[family]

    def held(self, family: Family) -> int:
        """How many addresses that are held are of this family."""
        return len(self._last[family])

    def whole(self, addresses: Iterable[_Address]) -> tuple[_Address, ...]:
        """The list after an answer of both families."""
        found = tuple(addresses)
        for family in self._last:
            self._answered(family, found)
        return found

    def half(
        self, addresses: Iterable[_Address], *, missing: Family
    ) -> tuple[_Address, ...]:
        """The list after an answer of the family that is not ``missing``."""
        self._answered("A" if missing == "AAAA" else "AAAA", tuple(addresses))
        self._silent[missing] += 1
        if self._silent[missing] >= SILENCE_MAX:
            self._last[missing] = ()
        return self._last["A"] + self._last["AAAA"]

    def _answered(self, family: Family, addresses: tuple[_Address, ...]) -> None:
        kind = IPv6Address if family == "AAAA" else IPv4Address
        self._last[family] = tuple(one for one in addresses if isinstance(one, kind))
        self._silent[family] = 0
