"""The ring: which endpoint owns a key.

What it is: an immutable map from keys to endpoints, equal to the ring of the upstream
load-balancing exporter for the same endpoints. Upstream has had three generations of
it, and a fleet must agree on one: routers of different generations split traces.

Rules:

* A ring never changes. A new endpoint set is a new ring, published by assignment.
* An endpoint is hashed byte for byte as its resolver gave it; nothing is trimmed and
  no port is added.
* Endpoints are ordered bytewise before they are placed, so the order of the argument
  never matters. Duplicates are placed twice (generation 1 drops the second ones).

How it works: every endpoint has a number of points on a circle of ``positions_max``
positions (`placement`). A key's position is its CRC-32 modulo ``positions_max``; its
owner is the endpoint of the first point at or after that position. `Ring.table` writes
the owner of every position down, so that the router needs one look-up a span.

It does not know traces, ports, resolvers or time.
"""

from __future__ import annotations

import hashlib
import zlib
from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from tailring_hashring.placement import Geometry, endpoint_crc, expand, place, taken

__all__ = ["GENERATIONS", "Ring", "build", "build_with"]

# Upstream releases: 1 before mid-2025, 2 from then to v0.156, 3 since v0.157.
GENERATIONS: Final[dict[int, Geometry]] = {
    1: Geometry(
        positions_max=36_000, points=100, index_bytes=1, steps_max=1, by_hash=False
    ),
    2: Geometry(
        positions_max=36_000, points=100, index_bytes=4, steps_max=10, by_hash=False
    ),
    3: Geometry(
        positions_max=131_071, points=200, index_bytes=4, steps_max=10, by_hash=True
    ),
}


class Ring:
    """An immutable consistent hash ring. Made by `build` alone.

    Two rings are equal if they route every key alike by the same points.
    """

    __slots__ = (
        "_endpoints",
        "_generation",
        "_members",
        "_positions",
        "_slots",
        "_table",
    )

    def __init__(
        self, endpoints: tuple[str, ...], slots: list[int], *, generation: int
    ) -> None:
        self._generation = generation
        self._endpoints = endpoints
        self._members = tuple(dict.fromkeys(endpoints))
        self._slots = slots
        # Written on first use: a router needs neither the points nor a bisection.
        self._positions: list[int] | None = None
        self._table: list[int] | None = None

    @property
    def generation(self) -> int:
        """1, 2 or 3."""
        return self._generation

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The endpoints as given, duplicates too, in bytewise order."""
        return self._endpoints

    @property
    def members(self) -> tuple[str, ...]:
        """The different endpoints in bytewise order; `table` holds indexes into it."""
        return self._members

    @property
    def positions_max(self) -> int:
        """The size of the circle: a key lies at ``crc32 % positions_max``."""
        return len(self._slots)

    def owner(self, key: bytes) -> str | None:
        """The endpoint that owns a key, of any length; None on an empty ring."""
        return self.owner_at(zlib.crc32(key) % len(self._slots))

    def owner_at(self, position: int) -> str | None:
        """The endpoint that owns a position; None on an empty ring."""
        positions = self._points()
        if not positions:
            return None
        at = bisect_left(positions, position)
        if at == len(positions):
            at = 0
        return self._members[self._slots[positions[at]]]

    def table(self) -> list[int]:
        """The owner of every position as an index into `members`; [] when empty.

        Computed once and shared: the caller must not change it.
        """
        if self._table is None:
            self._table = expand(self._slots)
        return self._table

    def items(self) -> tuple[tuple[int, str], ...]:
        """The points in ring order: position and endpoint."""
        return tuple((at, self._members[self._slots[at]]) for at in self._points())

    def shares(self) -> dict[str, float]:
        """The part of all positions that each member owns; 0.0 without points."""
        counts = dict.fromkeys(self._members, 0)
        positions = self._points()
        before = positions[-1] - len(self._slots) if positions else 0
        for position in positions:
            counts[self._members[self._slots[position]]] += position - before
            before = position
        return {name: count / len(self._slots) for name, count in counts.items()}

    def digest(self) -> str:
        """16 hex digits that rings with the same points share, for logs and tests."""
        text = "".join(
            f"{position} {endpoint}\n" for position, endpoint in self.items()
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _points(self) -> list[int]:
        if self._positions is None:
            self._positions = taken(self._slots)
        return self._positions

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ring):
            return NotImplemented
        return self._members == other._members and self._slots == other._slots

    def __hash__(self) -> int:
        return hash((self._members, len(self._slots)))

    def __repr__(self) -> str:
        return (
            f"<Ring generation {self._generation}, {len(self._members)} members, "
            f"{len(self._points())} points, {self.digest()}>"
        )


def build(endpoints: Iterable[str], *, generation: int = 3) -> Ring:
    """The ring of these endpoints, in whatever order they come.

    Raises ValueError for an unknown generation or a string that is not UTF-8. Never
    waits; takes about 3 ms for 100 endpoints and 11 ms for 300 of generation 3, in the
    pure form three times as long. The first `Ring.table` adds a third.
    """
    geometry = GENERATIONS.get(generation)
    if geometry is None:
        raise ValueError(f"ring generation must be 1, 2 or 3, not {generation!r}")
    return build_with(endpoints, geometry, generation=generation)


def build_with(
    endpoints: Iterable[str], geometry: Geometry, *, generation: int
) -> Ring:
    """The ring of another geometry: only tests call this directly."""
    # UTF-8 keeps the order of code points, so sorting text sorts bytewise.
    listed = tuple(sorted(endpoints))
    index_of = {name: index for index, name in enumerate(dict.fromkeys(listed))}
    crcs = [endpoint_crc(name.encode(), geometry) for name in listed]
    slots = place(crcs, [index_of[name] for name in listed], geometry)
    return Ring(listed, slots, generation=generation)
