"""The partition: every span to its owner, nothing lost and nothing twice."""

from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailring_pipeline import Refused, Rejected
from tailring_resolvers import Endpoint
from tailring_router.partition import partition
from tailring_router.topology import EMPTY, build_topology
from tailring_testkit.otlp import realistic_request, spans_of, trace_ids_of

TOPOLOGY = build_topology(Endpoint(f"b-{i}:4317", f"b-{i}:4317") for i in range(5))


@given(st.integers(1, 200), st.integers(0, 2**32))
def test_a_partition_is_the_same_spans_each_at_its_owner(n: int, seed: int) -> None:
    """The parts hold every span once, and only traces that their backend owns."""
    payload = realistic_request(n, seed=seed)
    parts = partition(payload, TOPOLOGY).routed
    assert sum(part.items for part in parts) == n
    together = [span for part in parts for span in spans_of(part.payload)]
    assert sorted(map(repr, together)) == sorted(map(repr, spans_of(payload)))
    for part in parts:
        for trace_id in trace_ids_of(part.payload):
            position = crc32(trace_id) % len(TOPOLOGY.table)
            assert TOPOLOGY.addresses[TOPOLOGY.table[position]] == part.address


def test_no_backend_is_a_refusal() -> None:
    """While no backend is known the sender is told to try again."""
    with pytest.raises(Refused) as refused:
        partition(realistic_request(1, seed=1), EMPTY)
    assert refused.value.reason == "no_backends"


def test_malformed_bytes_are_rejected() -> None:
    """Bytes that are no request are refused for good."""
    with pytest.raises(Rejected) as rejected:
        partition(b"\x0a\xff", TOPOLOGY)
    assert rejected.value.reason == "malformed"


def test_a_request_without_spans_has_no_parts() -> None:
    """An empty request is nobody's."""
    assert partition(b"", TOPOLOGY).routed == []
