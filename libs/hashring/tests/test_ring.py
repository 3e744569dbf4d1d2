"""What a ring promises, over generated endpoint sets."""

from __future__ import annotations

import random
import statistics
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailring_hashring import GENERATIONS, Ring, build
from tailring_hashring.placement import (
    Geometry,
    endpoint_crc,
    expand,
    point_crcs,
    taken,
)
from tailring_hashring.ring import build_with

generations = st.sampled_from([1, 2, 3])
names = st.text(st.characters(codec="utf-8"), max_size=20)
endpoint_lists = st.lists(names, max_size=12)


def reference(endpoints: Sequence[str], generation: int) -> list[tuple[int, str]]:
    """The ring as the rules read: every CRC computed, every point sorted."""
    geometry = GENERATIONS[generation]
    points = []
    for endpoint in endpoints:
        for index in range(geometry.points):
            message = endpoint.encode() + index.to_bytes(geometry.index_bytes, "little")
            hashed = zlib.crc32(message)
            position = hashed % geometry.positions_max
            points.append((position, hashed, endpoint.encode()))
    if geometry.by_hash:
        points.sort()
    claimed: dict[int, str] = {}
    for position, _, endpoint_bytes in points:
        at, steps = position, 0
        while at in claimed and steps < geometry.steps_max:
            at, steps = (at + 1) % geometry.positions_max, steps + 1
        if steps < geometry.steps_max:
            claimed[at] = endpoint_bytes.decode()
    return sorted(claimed.items())


@settings(max_examples=60, deadline=None)
@given(endpoint_lists, generations)
def test_the_ring_is_the_one_that_the_rules_give(
    endpoints: list[str], generation: int
) -> None:
    """A ring has the points that a plain reading of the rules puts there."""
    ring = build(endpoints, generation=generation)
    in_order = sorted(endpoints, key=str.encode)
    assert list(ring.items()) == reference(in_order, generation)


@settings(max_examples=25, deadline=None)
@given(endpoint_lists, st.randoms(use_true_random=False))
def test_generation_3_needs_no_order(
    endpoints: list[str], shuffler: random.Random
) -> None:
    """The plain reading of generation 3 gives one ring for every order."""
    shuffled = list(endpoints)
    shuffler.shuffle(shuffled)
    assert reference(shuffled, 3) == list(build(endpoints).items())


@settings(max_examples=40, deadline=None)
@given(endpoint_lists, generations, st.randoms(use_true_random=False))
def test_the_order_of_the_argument_does_not_matter(
    endpoints: list[str], generation: int, shuffler: random.Random
) -> None:
    """Shuffled endpoints give an equal ring, because they are sorted first."""
    shuffled = list(endpoints)
    shuffler.shuffle(shuffled)
    one = build(endpoints, generation=generation)
    other = build(iter(shuffled), generation=generation)
    assert one == other
    assert hash(one) == hash(other)
    assert one.endpoints == other.endpoints


def test_reversed_endpoints_give_an_equal_ring() -> None:
    """300 endpoints give one ring from either end."""
    endpoints = [f"endpoint-{n}" for n in range(300)]
    assert build(endpoints) == build(reversed(endpoints))


@settings(max_examples=15, deadline=None)
@given(st.lists(names, min_size=1, max_size=8), generations)
def test_the_table_agrees_with_the_owner_at_every_position(
    endpoints: list[str], generation: int
) -> None:
    """Looking a position up in the table and bisecting the points say the same."""
    ring = build(endpoints, generation=generation)
    table = ring.table()
    assert len(table) == ring.positions_max
    by_table = [ring.members[member] for member in table]
    assert by_table == [ring.owner_at(at) for at in range(ring.positions_max)]


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=40), generations)
def test_the_table_routes_a_key_to_its_owner(key: bytes, generation: int) -> None:
    """One CRC-32 and one look-up find the owner of any key."""
    ring = build(["a:4317", "b:4317", "ключ", ""], generation=generation)
    position = zlib.crc32(key) % ring.positions_max
    assert ring.members[ring.table()[position]] == ring.owner(key)


@given(st.binary(max_size=64), st.binary(max_size=8), generations)
def test_a_point_is_an_endpoint_xor_an_index(
    endpoint: bytes, salt: bytes, generation: int
) -> None:
    """The CRC of endpoint and index is the XOR of a part of each."""
    geometry = GENERATIONS[generation]
    start = endpoint_crc(endpoint + salt, geometry)
    for index, part in enumerate(point_crcs(geometry)):
        suffix = index.to_bytes(geometry.index_bytes, "little")
        assert start ^ part == zlib.crc32(endpoint + salt + suffix)


@pytest.mark.parametrize("generation", [1, 2, 3])
def test_an_empty_ring_owns_nothing(generation: int) -> None:
    """Without endpoints there is no owner, no table and no point."""
    ring = build([], generation=generation)
    assert ring.owner(b"any") is None
    assert ring.owner_at(0) is None
    assert ring.table() == []
    assert ring.items() == ()
    assert ring.shares() == {}
    assert ring.members == ring.endpoints == ()
    assert ring.positions_max == GENERATIONS[generation].positions_max


@pytest.mark.parametrize("generation", [0, 4, -1])
def test_an_unknown_generation_is_refused(generation: int) -> None:
    """A generation that upstream never had is a ValueError that lists the three."""
    with pytest.raises(ValueError, match="1, 2 or 3"):
        build(["a"], generation=generation)


def test_a_string_that_is_not_utf_8_is_refused() -> None:
    """A lone surrogate has no bytes that upstream could have hashed."""
    with pytest.raises(ValueError, match="surrogate"):
        build(["\ud800"])


def test_search_wraps_round_the_end() -> None:
    """A position after the last point belongs to the first one (upstream's vector)."""
    at = [14, 25, 33, 47, 56, 121, 134, 158, 240, 270, 350]
    slots = [-1] * 400
    for member, position in enumerate(at):
        slots[position] = member
    ring = Ring(tuple(f"{n:02}" for n in range(len(at))), slots, generation=1)
    for position, point in {85: 121, 14: 14, 351: 14, 270: 270, 271: 350}.items():
        assert ring.owner_at(position) == f"{at.index(point):02}"
        assert expand(slots)[position] == at.index(point)


def test_a_point_probes_round_the_end() -> None:
    """A point that finds the last position taken goes on at the first one."""
    geometry = Geometry(
        positions_max=7, points=7, index_bytes=4, steps_max=7, by_hash=True
    )
    ring = build_with(["only"], geometry, generation=3)
    assert [position for position, _ in ring.items()] == list(range(7))


def test_rings_differ_by_their_points() -> None:
    """Rings of other endpoints or generations are unequal, and no ring is a list."""
    ring = build(["a", "b"])
    assert ring == build(["b", "a"])
    assert ring != build(["a", "c"])
    assert ring != build(["a"])
    assert ring != build(["a", "b"], generation=2)
    assert ring != ring.items()
    assert ring.digest() != build(["a", "c"]).digest()


def test_a_duplicate_changes_the_ring_of_generation_2_and_3() -> None:
    """A duplicate is no new member, and only generation 1 ignores it."""
    for generation in (1, 2, 3):
        once = build(["a", "b"], generation=generation)
        twice = build(["a", "b", "b"], generation=generation)
        assert once.members == twice.members
        assert (once == twice) is (generation == 1)


def test_the_table_is_computed_once() -> None:
    """Asking for the table again gives the same list."""
    ring = build(["a", "b"])
    assert ring.table() is ring.table()


def test_a_ring_cannot_be_changed() -> None:
    """A ring's attributes have no setter and it takes no new ones."""
    ring = build(["a"])
    with pytest.raises(AttributeError):
        ring.generation = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        ring.note = "mine"  # type: ignore[attr-defined]


def test_a_ring_tells_what_it_is() -> None:
    """The representation names generation, members, points and digest."""
    ring = build(["a", "b"])
    text = f"<Ring generation 3, 2 members, 400 points, {ring.digest()}>"
    assert repr(ring) == text


def test_taken_lists_positions_in_order() -> None:
    """The positions that hold a point are listed ascending."""
    assert taken([-1, 0, -1, 2, 0]) == [1, 3, 4]


@pytest.mark.parametrize(
    ("size", "variation_max", "spread_max"),
    [(10, 0.10, 1.35), (100, 0.10, 1.70), (300, 0.12, 1.95)],
)
def test_shares_are_as_even_as_upstream_tests_them(
    size: int, variation_max: float, spread_max: float
) -> None:
    """Endpoints named endpoint-0 and on stay within upstream's limits of spread."""
    shares = build([f"endpoint-{n}" for n in range(size)]).shares().values()
    mean = statistics.fmean(shares)
    assert statistics.pstdev(shares) / mean <= variation_max
    assert max(shares) / min(shares) <= spread_max


@pytest.mark.parametrize(
    ("generation", "hottest_max", "coldest_min"),
    [(1, 1.67, 0.46), (2, 1.41, 0.63), (3, 1.27, 0.80)],
)
def test_skew_of_300_endpoints(
    generation: int, hottest_max: float, coldest_min: float
) -> None:
    """The hottest and coldest of 300 lie within what was measured of upstream."""
    names = [f"endpoint-{n}" for n in range(300)]
    shares = build(names, generation=generation).shares().values()
    mean = statistics.fmean(shares)
    assert round(max(shares) / mean, 2) <= hottest_max
    assert round(min(shares) / mean, 2) >= coldest_min


@settings(max_examples=30, deadline=None)
@given(endpoint_lists, generations)
def test_shares_add_up(endpoints: list[str], generation: int) -> None:
    """The shares of a ring that has points are one together, one for each member."""
    ring = build(endpoints, generation=generation)
    shares = ring.shares()
    assert tuple(shares) == ring.members
    if endpoints:
        assert sum(shares.values()) == pytest.approx(1.0)
