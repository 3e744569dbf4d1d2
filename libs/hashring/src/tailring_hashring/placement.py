"""Where the points of a ring lie.

What it is: the loops of the package over points and positions, compiled by mypyc
where a C compiler is at hand. Everything is integers: an endpoint is its CRC-32 and
its index among the members of the ring; a ring is a list ``slots`` that holds at each
position the index of the member whose point lies there, or ``FREE``.

Rules:

* The results equal those of the upstream exporter, bit for bit. What a generation
  prescribes is a `Geometry`; nothing here chooses.
* Linear time, no comparison sort over all points.

How it works:

* The CRC-32 of ``endpoint + index`` is not computed for every point. A CRC is affine
  over GF(2): for messages of equal length,
  ``crc(m, start) = crc(m, 0) ^ crc(zeros, start) ^ crc(zeros, 0)``. So the part of the
  index is computed once for a ring, that of the endpoint once an endpoint, and a point
  costs one XOR.
* Generation 3 claims positions in the order (position, hash, endpoint). Points are
  thrown into one bucket a position; only buckets with several points are sorted, each
  by ``rank``, which is order preserving: for one position the hash grows with
  ``hash // positions_max``.

It does not know endpoint strings, keys or what a ring is for.
"""

from __future__ import annotations

import zlib
from typing import Final

from mypy_extensions import i64

__all__ = [
    "COMPILED",
    "FREE",
    "Geometry",
    "count_pairs",
    "endpoint_crc",
    "expand",
    "place",
    "point_crcs",
    "taken",
]

FREE: Final = -1

# mypyc leaves the module's own name in place but runs it from a shared object.
COMPILED: Final = not __file__.endswith(".py")


class Geometry:
    """What a generation prescribes: how many points, where they may lie.

    ``steps_max`` is the number of the step at which a point is given up, even if that
    step found a free position (1: a point that meets another one is dropped).
    """

    def __init__(
        self,
        *,
        positions_max: int,
        points: int,
        index_bytes: int,
        steps_max: int,
        by_hash: bool,
    ) -> None:
        self.positions_max = positions_max
        self.points = points
        self.index_bytes = index_bytes
        self.steps_max = steps_max
        self.by_hash = by_hash


def point_crcs(geometry: Geometry) -> list[int]:
    """The part of each point's CRC that its index decides."""
    size = geometry.index_bytes
    return [
        zlib.crc32(index.to_bytes(size, "little")) for index in range(geometry.points)
    ]


def endpoint_crc(endpoint: bytes, geometry: Geometry) -> int:
    """The part of a point's CRC that its endpoint decides."""
    zeros = bytes(geometry.index_bytes)
    return zlib.crc32(zeros, zlib.crc32(endpoint)) ^ zlib.crc32(zeros)


def place(crcs: list[int], members: list[int], geometry: Geometry) -> list[int]:
    """The slots of the ring of these endpoints.

    ``crcs[n]`` is the `endpoint_crc` of the n-th endpoint and ``members[n]`` its index
    among the sorted unique endpoints; both in the order of the sorted endpoints.
    """
    if geometry.by_hash:
        return _place_by_hash(crcs, members, geometry)
    return _place_in_order(crcs, members, geometry)


def _place_in_order(
    crcs: list[int], members: list[int], geometry: Geometry
) -> list[int]:
    positions_max: i64 = geometry.positions_max
    steps_max: i64 = geometry.steps_max
    points = point_crcs(geometry)
    slots: list[int] = [FREE] * geometry.positions_max
    for n in range(len(crcs)):
        crc: i64 = crcs[n]
        member = members[n]
        for point in points:
            position: i64 = (crc ^ point) % positions_max
            _claim(slots, position, member, steps_max)
    return slots


def _place_by_hash(
    crcs: list[int], members: list[int], geometry: Geometry
) -> list[int]:
    positions_max: i64 = geometry.positions_max
    steps_max: i64 = geometry.steps_max
    members_max: i64 = members[-1] + 1 if members else 1
    ranks: list[int] = []
    before: list[int] = []
    buckets = _throw(crcs, members, geometry, ranks=ranks, before=before)
    slots: list[int] = [FREE] * geometry.positions_max
    for position in range(positions_max):
        rank: i64 = buckets[position]
        if rank >= 0:
            _claim(slots, position, rank % members_max, steps_max)
        elif rank != FREE:
            crowd: list[int] = []
            while rank < FREE:
                crowd.append(ranks[-2 - rank])
                rank = before[-2 - rank]
            crowd.append(rank)
            crowd.sort()
            for crowded in crowd:
                rank = crowded
                _claim(slots, position, rank % members_max, steps_max)
    return slots


def _throw(
    crcs: list[int],
    members: list[int],
    geometry: Geometry,
    *,
    ranks: list[int],
    before: list[int],
) -> list[int]:
    """All points in one bucket a position, unsorted.

    A bucket holds `FREE`, or the rank of its only point, or ``-2 - n``: then
    ``ranks[n]`` is the point that came last, and ``before[n]`` what the bucket held
    until then. (A list a bucket would be thousands of objects for the collector.)
    """
    positions_max: i64 = geometry.positions_max
    members_max: i64 = members[-1] + 1 if members else 1
    points = point_crcs(geometry)
    buckets: list[int] = [FREE] * geometry.positions_max
    for n in range(len(crcs)):
        crc: i64 = crcs[n]
        member: i64 = members[n]
        for point in points:
            hashed: i64 = crc ^ point
            position: i64 = hashed % positions_max
            rank: i64 = hashed // positions_max * members_max + member
            held: i64 = buckets[position]
            if held == FREE:
                buckets[position] = rank
            else:
                buckets[position] = -2 - len(ranks)
                ranks.append(rank)
                before.append(held)
    return buckets


def _claim(slots: list[int], position: i64, member: i64, steps_max: i64) -> None:
    steps: i64 = 0
    size: i64 = len(slots)
    while steps < steps_max and slots[position] != FREE:
        position = position + 1
        if position == size:
            position = 0
        steps += 1
    if steps < steps_max:
        slots[position] = member


def taken(slots: list[int]) -> list[int]:
    """The positions that hold a point, ascending."""
    positions: list[int] = []
    for position in range(len(slots)):
        if slots[position] != FREE:
            positions.append(position)  # noqa: PERF401 - mypyc unboxes this form
    return positions


def expand(slots: list[int]) -> list[int]:
    """The owner of every position: the first point at or after it, round the end.

    Empty when no slot is taken.
    """
    size: i64 = len(slots)
    position: i64 = 0
    while position < size and slots[position] == FREE:
        position += 1
    if position == size:
        return []
    owner = slots[position]
    table = [owner] * len(slots)
    position = size - 1
    while position >= 0:
        held = slots[position]
        if held != FREE:
            owner = held
        table[position] = owner
        position -= 1
    return table


def count_pairs(old: list[int], new: list[int], width: int) -> dict[int, int]:
    """How many positions have each pair of owners, as ``old * width + new``.

    Both tables have the same length; ``width`` is above every index in ``new``.
    """
    assert len(old) == len(new)
    counts: dict[int, int] = {}
    pair_before = old[0] * width + new[0] if old else 0
    run: i64 = 0
    # Neighbouring positions mostly have one pair: count runs, not positions.
    for position in range(len(old)):
        pair = old[position] * width + new[position]
        if pair != pair_before:
            counts[pair_before] = counts.get(pair_before, 0) + run
            pair_before = pair
            run = 0
        run += 1
    if run:
        counts[pair_before] = counts.get(pair_before, 0) + run
    return counts
