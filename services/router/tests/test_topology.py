"""The topology: owners by position, and what a change asks for."""

from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from tailring_hashring import build
from tailring_resolvers import Endpoint
from tailring_router.topology import EMPTY, build_topology

THREE = [Endpoint(f"10.0.0.{i}:4317", f"10.0.0.{i}:4317") for i in (1, 2, 3)]


def _owner(topology: object, key: bytes) -> str:
    from tailring_router.topology import Topology

    assert isinstance(topology, Topology)
    index = topology.table[crc32(key) % len(topology.table)]
    return topology.addresses[index]


def test_an_empty_set_routes_nothing() -> None:
    """Without endpoints there is no backend and no table."""
    assert EMPTY.empty
    assert EMPTY.table == []


def test_the_published_vector_is_owned_as_upstream_does() -> None:
    """Trace 4bf92f35... belongs to 10.0.0.3:4317 on the ring of generation 3."""
    topology = build_topology(THREE)
    key = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")
    assert _owner(topology, key) == "10.0.0.3:4317"


@given(st.binary(min_size=16, max_size=16), st.sampled_from([1, 2, 3]))
def test_the_table_agrees_with_the_ring(key: bytes, generation: int) -> None:
    """A look-up in the table gives the address of the ring's owner."""
    topology = build_topology(THREE, generation=generation)
    ring = build([e.ring_name for e in THREE], generation=generation)
    assert _owner(topology, key) == ring.owner(key)


def test_ring_name_and_address_stay_apart() -> None:
    """Bare addresses are hashed bare and dialled with a port."""
    bare = [Endpoint(f"10.0.0.{i}", f"10.0.0.{i}:4317") for i in (1, 2, 3)]
    topology = build_topology(bare)
    assert topology.ring.members == ("10.0.0.1", "10.0.0.2", "10.0.0.3")
    assert topology.addresses == ("10.0.0.1:4317", "10.0.0.2:4317", "10.0.0.3:4317")


def test_two_ring_names_of_one_address_are_one_backend() -> None:
    """A static list may name a backend with and without its port."""
    both = [
        Endpoint("10.0.0.9", "10.0.0.9:4317"),
        Endpoint("10.0.0.1:4317", "10.0.0.1:4317"),
        Endpoint("10.0.0.9:4317", "10.0.0.9:4317"),
    ]
    topology = build_topology(both)
    assert topology.addresses == ("10.0.0.1:4317", "10.0.0.9:4317")
    assert set(topology.table) == {0, 1}
    share = topology.table.count(1) / len(topology.table)
    assert 0.55 < share < 0.78  # the points of two names out of three


def test_the_same_set_in_another_order_is_the_same_topology() -> None:
    """Order does not matter."""
    one, other = build_topology(THREE), build_topology(reversed(THREE))
    assert (one.addresses, one.table) == (other.addresses, other.table)
    assert one.ring == other.ring
