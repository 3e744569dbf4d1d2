"""Logs and metrics through the load balancer: each item at its owner."""

from __future__ import annotations

from zlib import crc32

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from services.router.tests.rig import MakeBench
from structlog.testing import capture_logs

from tailring_otlpwire import RoutingRule, routing_keys
from tailring_pipeline import KINDS, Batch, Refused, Rejected, Signal
from tailring_resolvers import Endpoint
from tailring_router.config import ROUTING_KEYS
from tailring_router.metrics import Door, RouterMetrics
from tailring_router.part import DELIVERED
from tailring_router.partition import partition
from tailring_router.topology import EMPTY, build_topology
from tailring_runtime.metrics import Metrics
from tailring_testkit.signals import batch_of, numbers_of, request_of

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


@pytest.mark.parametrize("signal", Signal)
async def test_what_was_not_delivered_is_of_its_signal(
    make_bench: MakeBench, signal: Signal
) -> None:
    """A refusal holds what is to be sent again, as a batch of the same signal, so that
    whoever cuts or joins it knows what it is."""
    bench = make_bench(level2={"enabled": False}, signal=signal)
    bench.use("a", "b")
    for client in bench.clients.values():
        client.answer = Refused("full", "full")
    batch = batch_of(signal, range(20))
    with pytest.raises(Refused) as refused:
        await bench.dispatcher.begin(batch).finish()
    remaining = refused.value.remaining
    assert remaining is not None
    assert (remaining.signal, remaining.items) == (signal, 20)
    assert numbers_of(signal, remaining.payload) == dict.fromkeys(range(20), 1)
    assert bench.left() == {"refused": 20}


async def test_points_without_a_key_leave_by_their_own_door(
    make_bench: MakeBench,
) -> None:
    """Metrics routed by service that have none are rejected with upstream's words,
    logged as an error, and the others are delivered."""
    bench = make_bench(signal=Signal.METRICS)
    bench.use("a", "b")
    good = batch_of(Signal.METRICS, range(7))
    bad = batch_of(Signal.METRICS, range(3), service=None)
    batch = Batch(good.payload + bad.payload, 10, Signal.METRICS)
    with capture_logs() as logs, pytest.raises(Rejected) as rejected:
        await bench.dispatcher.begin(batch).finish()
    assert rejected.value.items == 3
    assert rejected.value.detail.startswith(
        "unable to get service name from resource metric with attributes: map["
    )
    assert bench.left() == {Door.DELIVERED.value: 7, Door.UNROUTABLE.value: 3}
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("failed to export metric", "error")
    assert (line["items"], line["error"]) == (3, rejected.value.detail)


async def test_a_request_without_any_key_is_rejected(make_bench: MakeBench) -> None:
    """When nothing can be routed nothing is sent, and the whole is final."""
    bench = make_bench(signal=Signal.METRICS)
    bench.use("a")
    with pytest.raises(Rejected) as rejected:
        await bench.dispatcher.begin(
            batch_of(Signal.METRICS, range(3), service=None)
        ).finish()
    assert rejected.value.items == 3
    assert bench.delivered() == 0


def _latency_of_b(metrics: Metrics) -> float:
    return metrics.value("otelcol_loadbalancer_backend_latency", endpoint="b:1")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("lb", Signal.LOGS), ("lb", Signal.TRACES)),
        (("lb/1", Signal.TRACES), ("lb/2", Signal.TRACES)),
    ],
)
def test_a_backend_that_one_exporter_drops_keeps_the_series_of_another(
    one: tuple[str, Signal], other: tuple[str, Signal]
) -> None:
    """Exporters, or signals of one, count an endpoint together: when one drops it, what
    the other counted is still shown, and nothing of the one."""
    metrics = Metrics()
    first, second = (
        RouterMetrics(metrics.child(), name, signal=signal).backend("b:1")
        for name, signal in (one, other)
    )
    first.tried(DELIVERED, items=2, took_ms=1.0)
    second.tried(DELIVERED, items=5, took_ms=1.0)
    assert _latency_of_b(metrics) == 2
    first.remove()
    assert _latency_of_b(metrics) == 1
    outcome = "otelcol_loadbalancer_backend_outcome"
    assert metrics.value(outcome, endpoint="b:1", success="true") == 1
    sent = "otelcol_exporter_sent_spans"
    assert metrics.value(sent, exporter=f"{other[0]}/b:1") == 5
    assert metrics.value(sent) == 5
    assert "otelcol_exporter_sent_log_records_total" not in metrics.expose().decode()
    second.remove()
    assert _latency_of_b(metrics) == 0


def test_the_rings_of_several_signals_are_told_apart() -> None:
    """Each signal of an exporter has its own series of the digest."""
    metrics = Metrics()
    for value, signal in enumerate(Signal, start=1):
        RouterMetrics(metrics.child(), "lb", signal=signal).ring_hash.set(value)
    found = [
        metrics.value("tailring_router_ring_hash", exporter="lb", data_type=one.value)
        for one in Signal
    ]
    assert found == [1, 2, 3]
