"""Logs and metrics through the load balancer: each item at its owner."""

from __future__ import annotations

from zlib import crc32

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)

from tailring_otlpwire import RoutingRule, routing_keys
from tailring_pipeline import KINDS, Refused, Rejected, Signal
from tailring_resolvers import Endpoint
from tailring_router.config import ROUTING_KEYS
from tailring_router.partition import partition
from tailring_router.topology import EMPTY, build_topology
from tailring_testkit.signals import numbers_of, request_of

TOPOLOGY = build_topology(Endpoint(f"b-{i}:4317", f"b-{i}:4317") for i in range(5))
_NONE = numbers_of(Signal.TRACES, b"")
RULES = [(signal, key) for signal in Signal for key in ROUTING_KEYS[signal]]


def _rule(signal: Signal, key: str) -> RoutingRule:
    return RoutingRule(KINDS[signal], key, ("n",) if key == "attributes" else ())


@pytest.mark.parametrize(("signal", "key"), RULES)
def test_each_item_is_at_the_owner_of_its_key(signal: Signal, key: str) -> None:
    """The parts hold every item once, and only keys that their backend owns."""
    rule = _rule(signal, key)
    payload = request_of(signal, range(40), service="a")
    payload += request_of(signal, range(40, 80), service="b")
    found = partition(payload, TOPOLOGY, rule)
    assert sum(part.items for part in found.routed) == 80
    came = sum((numbers_of(signal, it.payload) for it in found.routed), start=_NONE)
    assert came == dict.fromkeys(range(80), 1)
    for part in found.routed:
        for one in routing_keys(part.payload, rule):
            position = crc32(one) % len(TOPOLOGY.table)
            assert TOPOLOGY.addresses[TOPOLOGY.table[position]] == part.address


@pytest.mark.parametrize("signal", [Signal.LOGS, Signal.METRICS])
def test_no_backend_is_a_refusal_for_every_signal(signal: Signal) -> None:
    """While no backend is known the sender is told to try again."""
    rule = _rule(signal, "service")
    with pytest.raises(Refused, match="couldn't find the exporter for the endpoint"):
        partition(request_of(signal, [1]), EMPTY, rule)


@pytest.mark.parametrize("signal", [Signal.LOGS, Signal.METRICS])
def test_bytes_of_no_request_are_rejected(signal: Signal) -> None:
    """Bytes that are no request of the signal are refused for good."""
    with pytest.raises(Rejected):
        partition(b"\x0a\xff", TOPOLOGY, _rule(signal, "service"))


def test_records_without_a_trace_id_are_spread_the_same_way_again() -> None:
    """Logs by trace id: records without one go to several backends, and those of a
    request that comes again to the same ones."""
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for number in range(30):
        scope.log_records.add(time_unix_nano=number)
    payload = request.SerializeToString()
    rule = _rule(Signal.LOGS, "traceID")
    first = partition(payload, TOPOLOGY, rule)
    assert len(first.routed) > 1
    assert partition(payload, TOPOLOGY, rule) == first
