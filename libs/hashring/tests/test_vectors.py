"""Points, owners and digests that the upstream exporter computed.

The vectors come from upstream's own tests, from its code of v0.152.0 (generation 2)
and v0.161.0 (generation 3), and from a live collector. None was made by this package.
"""

from __future__ import annotations

import zlib

import pytest

from tailring_hashring import GENERATIONS, Ring, build
from tailring_hashring.placement import Geometry, endpoint_crc, place, taken
from tailring_hashring.ring import build_with


def small_ring(generation: int, *endpoints: str) -> Ring:
    """The ring of a generation with 5 points an endpoint, as upstream tests it."""
    full = GENERATIONS[generation]
    geometry = Geometry(
        positions_max=full.positions_max,
        points=5,
        index_bytes=full.index_bytes,
        steps_max=full.steps_max,
        by_hash=full.by_hash,
    )
    return build_with(endpoints, geometry, generation=generation)


def positions(ring: Ring) -> list[int]:
    """Where the points of a ring lie."""
    return [position for position, _ in ring.items()]


@pytest.mark.parametrize(
    ("generation", "endpoint", "expected"),
    [
        (1, "endpoint-1", [1401, 4175, 14133, 17836, 21667]),
        (1, "endpoint-2", [10240, 15002, 21263, 26806, 27020]),
        (2, "endpoint-1", [0x21CA, 0x29D3, 0x3984, 0x5EAF, 0x8BC1]),
        (3, "endpoint-1", [0x4BE4, 0x666A, 0xAD6F, 0x1A4C1, 0x1BAE2]),
    ],
)
def test_one_endpoint(generation: int, endpoint: str, expected: list[int]) -> None:
    """The points of one endpoint lie where upstream puts them."""
    assert positions(small_ring(generation, endpoint)) == expected


@pytest.mark.parametrize(
    ("generation", "expected"),
    [
        (1, [1401, 4175, 14133, 17836, 21667]),
        (2, [0x21CA, 0x21CB, 0x29D3, 0x29D4, 0x3984, 0x3985, 0x5EAF, 0x5EB0, 0x8BC1,
             0x8BC2]),
        (3, [0x4BE4, 0x4BE5, 0x666A, 0x666B, 0xAD6F, 0xAD70, 0x1A4C1, 0x1A4C2, 0x1BAE2,
             0x1BAE3]),
    ],
)  # fmt: skip
def test_a_duplicate(generation: int, expected: list[int]) -> None:
    """A duplicate is dropped by generation 1 and moves one step in 2 and 3."""
    ring = small_ring(generation, "endpoint-1", "endpoint-1")
    assert positions(ring) == expected
    assert ring.endpoints == ("endpoint-1", "endpoint-1")
    assert ring.members == ("endpoint-1",)


@pytest.mark.parametrize(
    ("generation", "expected"),
    [
        (2, "dde B,162e A,21f5 B,34e5 A,61fb B,6910 B,76a0 A,7e2b A,7f7c A,85ac B"),
        (
            3,
            "61a4 B,ca91 A,10b72 A,11372 B,116b1 B,11801 A,18a36 B,1af01 B,1af16 A,"
            "1e723 A",
        ),
    ],
)
def test_two_endpoints(generation: int, expected: str) -> None:
    """The points of two endpoints interleave as upstream interleaves them."""
    ring = small_ring(generation, "endpoint-A", "endpoint-B")
    assert ",".join(f"{at:x} {name[-1]}" for at, name in ring.items()) == expected


def test_a_ring_of_one_position_has_one_point() -> None:
    """With one position and one step, the first of six points takes it alone."""
    geometry = Geometry(
        positions_max=1, points=2, index_bytes=4, steps_max=1, by_hash=True
    )
    names = ("endpoint-1", "endpoint-2", "endpoint-3")
    ring = build_with(names, geometry, generation=3)
    assert positions(ring) == [0]
    assert ring.table() == [ring.members.index(ring.items()[0][1])]


@pytest.mark.parametrize(
    ("generation", "key", "position", "owner"),
    [
        (1, b"\x01\x02\x00\x00", 25399, "endpoint-1"),
        (1, b"\x80\x80\x00\x00", 5511, "endpoint-2"),
        (1, b"ad-service-7", 16665, "endpoint-1"),
        (1, b"get-recommendations-1", 5375, "endpoint-2"),
        (2, b"\x01\x02\x00\x00", 25399, "endpoint-2"),
        (2, b"\x80\x80\x00\x00", 5511, "endpoint-1"),
        (2, b"ad-service-7", 16665, "endpoint-2"),
        (2, b"get-recommendations-1", 5375, "endpoint-1"),
        (3, b"\x01\x02\x00\x00", 47445, "endpoint-2"),
        (3, b"\x80\x80\x00\x00", 35131, "endpoint-1"),
        (3, b"ad-service-7", 87368, "endpoint-2"),
        (3, b"get-recommendations-1", 37159, "endpoint-2"),
    ],
)
def test_lookups_of_two_endpoints(
    generation: int, key: bytes, position: int, owner: str
) -> None:
    """Upstream's lookups on full rings of two endpoints have upstream's owners."""
    ring = build(["endpoint-1", "endpoint-2"], generation=generation)
    assert zlib.crc32(key) % ring.positions_max == position
    assert ring.owner(key) == owner


def test_a_live_collector() -> None:
    """The owners that a v0.154.0 collector chose by service are generation 2's."""
    ring = build(["lb-backend-a:4317", "lb-backend-b:4317"], generation=2)
    chosen = {"alpha": "b", "beta": "a", "gamma": "a", "delta": "b"}
    for service, letter in chosen.items():
        owner = ring.owner(f"service.name={service}|".encode())
        assert owner == f"lb-backend-{letter}:4317"


# key, position of 1 and 2, owners of 1 and 2, position of 3, owner of 3
BACKENDS = [
    (bytes.fromhex("0102030405060708090a0b0c0d0e0f10"), 20689, 4, 3, 34199, 4),
    (bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736"), 4869, 4, 4, 99306, 4),
    (bytes(15) + b"\x01", 12931, 4, 1, 51617, 3),
    (bytes(16), 33493, 3, 2, 115122, 2),
    (b"4bf92f3577b34da6a3ce929d0e0e4736", 3732, 4, 4, 36868, 3),
    (b"checkout", 6414, 2, 4, 34026, 3),
    (b"service.name=checkout|", 31453, 2, 1, 80009, 2),
    (b"service.name=|", 2465, 4, 1, 102463, 1),
    (b"", 0, 2, 4, 0, 1),
    (b"resource/9d126046fdb6c015", 22370, 2, 4, 9399, 4),
    (b"stream/9e144f79347a7051", 7047, 4, 3, 67941, 2),
]

ADDRESSES = [
    ("00000000000000000000000000000001", 12931, 3, 3, 51617, 2),
    ("00000000000000000000000000000000", 33493, 2, 1, 115122, 3),
    ("ffffffffffffffffffffffffffffffff", 14266, 1, 3, 124403, 2),
    ("0102030405060708090a0b0c0d0e0f10", 20689, 3, 2, 34199, 2),
    ("4bf92f3577b34da6a3ce929d0e0e4736", 4869, 3, 3, 99306, 3),
    ("0af7651916cd43dd8448eb211c80319c", 25813, 1, 1, 58042, 1),
    ("5b8efff798038103d269b633813fc60c", 11896, 1, 3, 109249, 1),
    ("a1b2c3d4e5f60718293a4b5c6d7e8f90", 28841, 2, 3, 63961, 1),
    ("deadbeefdeadbeefdeadbeefdeadbeef", 877, 2, 1, 107647, 2),
    ("7f3c2a1908d7e6b5c4f3a29180716f5e", 35099, 3, 2, 124166, 1),
]


@pytest.mark.parametrize("vector", BACKENDS)
def test_four_named_backends(vector: tuple[bytes, int, int, int, int, int]) -> None:
    """Each key lies and is owned as upstream says, in all generations."""
    key, position_12, *expected, position_3, last = vector
    names = [f"backend-{n}:4317" for n in range(1, 5)]
    for generation, owner in enumerate([*expected, last], start=1):
        ring = build(names, generation=generation)
        position = position_3 if generation == 3 else position_12
        assert zlib.crc32(key) % ring.positions_max == position
        assert ring.owner(key) == f"backend-{owner}:4317"


@pytest.mark.parametrize("vector", ADDRESSES)
def test_three_addresses(vector: tuple[str, int, int, int, int, int]) -> None:
    """Each trace id lies and is owned as upstream says, in all generations."""
    text, position_12, *expected, position_3, last = vector
    names = [f"10.0.0.{n}:4317" for n in range(1, 4)]
    for generation, owner in enumerate([*expected, last], start=1):
        ring = build(names, generation=generation)
        position = position_3 if generation == 3 else position_12
        assert zlib.crc32(bytes.fromhex(text)) % ring.positions_max == position
        assert ring.owner(bytes.fromhex(text)) == f"10.0.0.{owner}:4317"


@pytest.mark.parametrize(
    ("prefix", "size", "expected"),
    [("backend-", 4, (397, 400, 800)), ("10.0.0.", 3, (297, 300, 600))],
)
def test_ring_sizes(prefix: str, size: int, expected: tuple[int, int, int]) -> None:
    """The rings of the vectors have as many points as upstream's."""
    names = [f"{prefix}{n}:4317" for n in range(1, size + 1)]
    rings = [build(names, generation=generation) for generation in (1, 2, 3)]
    assert tuple(len(ring.items()) for ring in rings) == expected


@pytest.mark.parametrize(
    ("generation", "bare", "with_port"), [(2, ".2", ".3:4317"), (3, ".3", ".3:4317")]
)
def test_the_port_is_part_of_the_name(
    generation: int, bare: str, with_port: str
) -> None:
    """An address with and without its port are two names on the ring."""
    key = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")
    for suffix, owner in (("", bare), (":4317", with_port)):
        names = [f"10.0.0.{n}{suffix}" for n in range(1, 4)]
        assert build(names, generation=generation).owner(key) == f"10.0.0{owner}"


@pytest.mark.parametrize(
    ("generation", "expected"),
    [
        (1, [10527, 12985, 12488]),
        (2, [10591, 11185, 14224]),
        (3, [38184, 39127, 53760]),
    ],
)
def test_positions_owned(generation: int, expected: list[int]) -> None:
    """Each of three addresses owns as many positions as on upstream's ring."""
    ring = build([f"10.0.0.{n}:4317" for n in range(1, 4)], generation=generation)
    table = ring.table()
    assert [table.count(member) for member in range(3)] == expected
    shares = [count / ring.positions_max for count in expected]
    assert list(ring.shares().values()) == shares


@pytest.mark.parametrize(
    ("generation", "size", "digest", "points"),
    [
        (1, 3, "1ec5ac80701a84b9", 298),
        (2, 3, "dc405ac481699ae8", 300),
        (3, 3, "5097df5c945eacc2", 600),
        (1, 50, "59da52c840ebf2fa", 4682),
        (2, 50, "5fabcc3df1218190", 5000),
        (3, 50, "3af1338c38bb9020", 10000),
        (1, 300, "5b7b09b695158e7d", 20277),
        (2, 300, "8634d12a2285beda", 28510),
        (3, 300, "2d24d9c1a0a7ba4a", 60000),
    ],
)
def test_whole_rings(generation: int, size: int, digest: str, points: int) -> None:
    """Every point of a large ring lies where upstream puts it."""
    ring = build([f"endpoint-{n}" for n in range(size)], generation=generation)
    assert len(ring.items()) == points
    assert ring.digest() == digest


@pytest.mark.parametrize(
    ("generation", "size", "dropped"),
    [(2, 300, 1490), (3, 400, 0), (3, 450, 8), (3, 600, 1538)],
)
def test_points_that_are_given_up(generation: int, size: int, dropped: int) -> None:
    """A crowded ring gives up as many points as upstream's does."""
    ring = build([f"endpoint-{n}" for n in range(size)], generation=generation)
    wanted = size * GENERATIONS[generation].points
    assert wanted - len(ring.items()) == dropped


@pytest.mark.parametrize(("size", "dropped"), [(150, 3), (300, 1480)])
def test_generation_2_depends_on_the_order_it_places_in(
    size: int, dropped: int
) -> None:
    """Endpoints that are placed unsorted lose other points than sorted ones."""
    geometry = GENERATIONS[2]
    crcs = [endpoint_crc(f"endpoint-{n}".encode(), geometry) for n in range(size)]
    slots = place(crcs, list(range(size)), geometry)
    assert size * geometry.points - len(taken(slots)) == dropped


def test_300_endpoints_keep_all_their_points() -> None:
    """On a ring of 300 endpoints each has 200 points, in generation 3."""
    names = [f"endpoint-{n}" for n in range(300)]
    owners = [name for _, name in build(names).items()]
    assert {owners.count(name) for name in names} == {200}
