"""Logs and metrics through a real router to several backends, and its books."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from grpc import StatusCode

from tailring_pipeline import ITEMS, Signal
from tailring_testkit import prom, services
from tailring_testkit.backend import Backend
from tailring_testkit.otlp_clients import GrpcClient
from tailring_testkit.signals import EXPORT, numbers_of, request_of, services_of

_ITEMS = 3_000
_REQUEST = 50
_SIGNALS = [Signal.LOGS, Signal.METRICS]
_DOORS = "tailring_router_left_{}_total"


async def _send(router: services.Service, signal: Signal, numbers: range) -> None:
    async with GrpcClient(router.target) as client:
        for start in range(numbers.start, numbers.stop, _REQUEST):
            some = range(start, min(start + _REQUEST, numbers.stop))
            payload = request_of(signal, some, service=f"service-{start}")
            reply = await client.export(payload, method=EXPORT[signal])
            assert reply.code is StatusCode.OK, reply


def _check_books(page: prom.Scrape, signal: Signal, backends: list[Backend]) -> None:
    """What was accepted is what was received, left, and sent to each backend."""
    items = ITEMS[signal]
    assert page.total(f"otelcol_receiver_accepted_{items}_total") == _ITEMS
    assert page.total(f"tailring_router_received_{items}_total") == _ITEMS
    assert page.total(f"tailring_router_held_{items}") == 0
    doors = page.by_label(_DOORS.format(items), "door")
    assert {door: count for door, count in doors.items() if count} == {
        "delivered": _ITEMS
    }
    for backend in backends:
        label = f"loadbalancing/{backend.address}"
        sent = page.total(f"otelcol_exporter_sent_{items}_total", exporter=label)
        arrived = sum(
            numbers_of(signal, payload).total()
            for payload in backend.received_of[signal]
        )
        assert sent == arrived > 0
    for kind in ("send_failed", "enqueue_failed"):
        assert page.total(f"otelcol_exporter_{kind}_{items}_total") == 0


@pytest.mark.parametrize("signal", _SIGNALS)
async def test_every_item_arrives_once_with_its_service(
    tmp_path: Path, signal: Signal
) -> None:
    """Each service is at one backend, nothing is lost or twice, the books are even."""
    async with AsyncExitStack() as stack:
        backends = [await stack.enter_async_context(Backend()) for _ in range(3)]
        hostnames = [backend.address for backend in backends]
        resolver = {"static": {"hostnames": hostnames}}
        signals = [one.value for one in Signal]
        router = stack.enter_context(
            services.router(tmp_path, resolver, signals=signals)
        )
        await _send(router, signal, range(_ITEMS))
        arrived: Counter[int] = Counter()
        seen: list[set[str]] = []
        for backend in backends:
            payload = b"".join(backend.received_of[signal])
            arrived += numbers_of(signal, payload)
            seen.append(services_of(signal, payload))
        assert arrived == dict.fromkeys(range(_ITEMS), 1)
        assert sum(map(len, seen)) == len(set.union(*seen)) == _ITEMS // _REQUEST
        _check_books(router.metrics(), signal, backends)


@pytest.mark.parametrize("signal", _SIGNALS)
async def test_a_backend_that_is_away_for_a_while_loses_nothing(
    tmp_path: Path, signal: Signal
) -> None:
    """What a backend was to get waits for it; the others get theirs once."""
    refusal = {"initial_interval": "20ms", "max_interval": "50ms"}
    otlp = {"tls": {"insecure": True}, "retry_on_failure": refusal}
    async with AsyncExitStack() as stack:
        backends = [await stack.enter_async_context(Backend()) for _ in range(3)]
        resolver = {"static": {"hostnames": [one.address for one in backends]}}
        router = stack.enter_context(
            services.router(
                tmp_path,
                resolver,
                exporter={"protocol": {"otlp": otlp}},
                signals=[signal.value],
            )
        )
        await backends[0].stop()
        payload = b"".join(
            request_of(signal, [number], service=f"s{number}") for number in range(60)
        )
        async with GrpcClient(router.target) as client, asyncio.TaskGroup() as group:
            call = client.export(payload, method=EXPORT[signal])
            waiting = group.create_task(call)
            await backends[1].wait_received(1)
            assert not waiting.done()
            await backends[0].start()
        assert waiting.result().code is StatusCode.OK
        arrived: Counter[int] = Counter()
        for backend in backends:
            arrived += numbers_of(signal, b"".join(backend.received_of[signal]))
        assert arrived == dict.fromkeys(range(60), 1)


async def test_metrics_without_a_service_are_rejected_alone(tmp_path: Path) -> None:
    """Routed by service, points without one are a partial success, counted under a
    door and told in the log; the others arrive."""
    signal = Signal.METRICS
    async with AsyncExitStack() as stack:
        backend = await stack.enter_async_context(Backend())
        resolver = {"static": {"hostnames": [backend.address]}}
        router = stack.enter_context(
            services.router(tmp_path, resolver, signals=[signal.value])
        )
        client = await stack.enter_async_context(GrpcClient(router.target))
        good = request_of(signal, range(7))
        bad = request_of(signal, range(100, 103), service=None)
        reply = await client.export(good + bad, method=EXPORT[signal])
        assert reply.code is StatusCode.OK
        assert b"unable to get service name" in reply.response
        assert reply.response[2:4] == b"\x08\x03"  # rejected: 3
        refused = await client.export(bad, method=EXPORT[signal])
        assert refused.code is StatusCode.INVALID_ARGUMENT
        payload = b"".join(backend.received_of[signal])
        assert numbers_of(signal, payload) == dict.fromkeys(range(7), 1)
        doors = router.metrics().by_label(_DOORS.format("metric_points"), "door")
        assert (doors["delivered"], doors["unroutable"]) == (7, 6)
        assert "failed to export metric" in router.child.log()
