"""The wired router on real sockets: what backends and clients do to it.

Each row of `FAULTS` is a backend's behaviour, with the answer that the client gets,
the door by which the faulty backend's spans leave, and what becomes of the others.
"""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from tailring_router import app, components
from tailring_runtime.config import load
from tailring_runtime.metrics import Metrics
from tailring_testkit.backend import OK, Answer, Backend
from tailring_testkit.otlp import realistic_request, spans_of
from tailring_testkit.otlp_clients import GrpcClient, GrpcReply
from tailring_testkit.ports import free_port

SPANS = 400
FAST = {"initial_interval": "10ms", "max_interval": "20ms", "max_elapsed_time": "10s"}
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@dataclass
class Running:
    """A started router, a client, and its backends."""

    routing: app.Routing
    metrics: Metrics
    client: GrpcClient
    backends: Sequence[Backend]

    def left(self) -> dict[str, int]:
        """Spans by the door they left through."""
        doors = ("delivered", "refused", "rejected", "retries_exhausted", "abandoned")
        counts = {
            door: int(self.metrics.value("tailring_router_left_spans", door=door))
            for door in doors
        }
        return {door: count for door, count in counts.items() if count}

    def held(self) -> int:
        return int(self.metrics.value("tailring_router_held_spans"))

    async def drain(self, timeout_s: float = 10.0) -> None:
        for group in self.routing.assembly.stages:
            for stage in group:
                stage.close()
            for stage in group:
                await stage.join(timeout_s)


@asynccontextmanager
async def router(
    hostnames: Sequence[str], folder: Path, *, backends: Sequence[Backend], **keys: Any
) -> AsyncIterator[Running]:
    """A router to ``hostnames``; ``keys`` are added to its exporter."""
    otlp = {"tls": {"insecure": True}, "compression": "none", "retry_on_failure": FAST}
    exporter = {
        "resolver": {"static": {"hostnames": list(hostnames)}},
        "protocol": {"otlp": {**otlp, **keys.pop("otlp", {})}},
        **keys,
    }
    pipeline = {"receivers": ["otlp"], "exporters": ["loadbalancing"]}
    tree = {
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": "127.0.0.1:0"}}}},
        "exporters": {"loadbalancing": exporter},
        "service": {"pipelines": {"traces": pipeline}},
    }
    path = folder / "router.yaml"
    path.write_text(yaml.safe_dump(tree))
    loaded = load([str(path)], environ={}, registry=components.registry())
    metrics = Metrics()
    routing = app.Routing(loaded.config, metrics)
    stages = [stage for group in routing.assembly.stages for stage in group]
    for stage in reversed(stages):
        await stage.start()
    (receiver,) = routing.assembly.receivers.values()
    async with AsyncExitStack() as stack:
        for stage in stages:
            stack.push_async_callback(stage.terminate)
        client = GrpcClient(f"127.0.0.1:{receiver.grpc_port}")
        stack.push_async_callback(client.channel.close)
        yield Running(routing, metrics, client, backends)


Serve = Callable[..., Any]


@pytest.fixture
async def two() -> AsyncIterator[tuple[Backend, Backend]]:
    """A healthy backend and one that a test makes faulty."""
    async with Backend() as healthy, Backend() as faulty:
        yield healthy, faulty


@dataclass(frozen=True)
class Fault:
    """How a backend behaves, and what follows."""

    name: str
    answers: Sequence[Answer]
    code: grpc.StatusCode
    door: str  # of the faulty backend's spans
    retries: bool = True
    success: str = "false"  # of which outcome the backend is charged at least once


FAULTS = [
    Fault("flaps", [Answer(UNAVAILABLE), OK], grpc.StatusCode.OK, "delivered"),
    Fault(
        "slow", [Answer(delay_s=0.3)], grpc.StatusCode.OK, "delivered", success="true"
    ),
    Fault(
        "throttles with RetryInfo",
        [Answer(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after_s=0.05), OK],
        grpc.StatusCode.OK,
        "delivered",
    ),
    Fault(
        "exhausted without RetryInfo",
        [Answer(grpc.StatusCode.RESOURCE_EXHAUSTED)],
        grpc.StatusCode.OK,  # partial success: the rest was taken
        "rejected",
    ),
    Fault(
        "refuses for good",
        [Answer(grpc.StatusCode.INVALID_ARGUMENT)],
        grpc.StatusCode.OK,
        "rejected",
    ),
    Fault(
        "is unavailable and nobody retries",
        [Answer(UNAVAILABLE)],
        UNAVAILABLE,
        "refused",
        retries=False,
    ),
    Fault(
        "is slower than the timeout and nobody retries",
        [Answer(delay_s=3.0)],
        UNAVAILABLE,
        "refused",
        retries=False,
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_a_faulty_backend_harms_nobody_else(
    fault: Fault, two: tuple[Backend, Backend], tmp_path: Path
) -> None:
    """The client's answer, the door of the faulty backend's spans, and that the
    healthy backend's part arrives exactly once."""
    healthy, faulty = two
    faulty.script(itertools.cycle(fault.answers))
    otlp: dict[str, Any] = {"timeout": "1s"}
    if not fault.retries:
        otlp["retry_on_failure"] = {"enabled": False}
    hosts = [healthy.address, faulty.address]
    async with router(hosts, tmp_path, backends=two, otlp=otlp) as running:
        reply = await running.client.export(realistic_request(SPANS, seed=3))
        assert reply.code is fault.code
        share = SPANS - healthy.span_count
        left = running.left()
        assert 0 < share < SPANS
        assert left.pop(fault.door) == (SPANS if fault.door == "delivered" else share)
        assert left.get("delivered", SPANS - share) == SPANS - share
        assert running.held() == 0
        outcomes = running.metrics.value(
            "otelcol_loadbalancer_backend_outcome",
            endpoint=faulty.address,
            success=fault.success,
        )
        assert outcomes >= 1
    taken = [span for payload in healthy.received for span in spans_of(payload)]
    assert len(set(map(repr, taken))) == len(taken)


async def test_a_rejected_part_is_a_partial_success(
    two: tuple[Backend, Backend], tmp_path: Path
) -> None:
    """The client learns how many spans were refused for good, and does not retry."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTraceServiceResponse,
    )

    healthy, faulty = two
    faulty.answer = Answer(grpc.StatusCode.INVALID_ARGUMENT, "no")
    hosts = [healthy.address, faulty.address]
    async with router(hosts, tmp_path, backends=two) as running:
        reply = await running.client.export(realistic_request(SPANS, seed=4))
    partial = ExportTraceServiceResponse.FromString(reply.response).partial_success
    assert partial.rejected_spans == SPANS - healthy.span_count


async def test_a_backend_that_is_down_comes_back(tmp_path: Path) -> None:
    """While it is down its part waits; when it is back the client gets its answer."""
    port = free_port()
    async with Backend() as healthy:
        hosts = [healthy.address, f"127.0.0.1:{port}"]
        async with router(hosts, tmp_path, backends=[healthy]) as running:
            waiting = asyncio.ensure_future(
                running.client.export(realistic_request(SPANS, seed=5))
            )
            await healthy.wait_received(1)
            assert running.held() > 0
            async with Backend(port=port) as late:
                reply: GrpcReply = await waiting
                assert reply.code is grpc.StatusCode.OK
                assert healthy.span_count + late.span_count == SPANS
            assert running.left() == {"delivered": SPANS}


async def test_a_client_that_gives_up_leaves_nothing_behind(tmp_path: Path) -> None:
    """What a client stopped waiting for is withdrawn, so its retry is no duplicate."""
    port = free_port()
    async with Backend() as healthy:
        hosts = [healthy.address, f"127.0.0.1:{port}"]
        async with router(hosts, tmp_path, backends=[healthy]) as running:
            payload = realistic_request(SPANS, seed=6)
            reply = await running.client.export(payload, timeout_s=0.5)
            assert reply.code is grpc.StatusCode.DEADLINE_EXCEEDED
            async with asyncio.timeout(5):
                while running.held():  # noqa: ASYNC110 - a counter has no event
                    await asyncio.sleep(0.01)
            assert running.left()["abandoned"] == SPANS - healthy.span_count
            async with Backend(port=port) as late:
                await running.client.export(payload)
                assert late.requests == 1


async def test_a_written_queue_answers_before_the_backend(
    two: tuple[Backend, Backend], tmp_path: Path
) -> None:
    """With `sending_queue: {enabled: true}` at level 2 the client is answered when
    its parts are queued; a drain delivers them."""
    for backend in two:
        backend.hold()
    otlp = {"sending_queue": {"enabled": True}}
    hosts = [backend.address for backend in two]
    async with router(hosts, tmp_path, backends=two, otlp=otlp) as running:
        reply = await running.client.export(realistic_request(SPANS, seed=7))
        assert reply.code is grpc.StatusCode.OK
        assert running.held() == SPANS
        for backend in two:
            backend.release()
        await running.drain()
        assert running.left() == {"delivered": SPANS}


async def test_a_level_1_queue_answers_before_routing(
    two: tuple[Backend, Backend], tmp_path: Path
) -> None:
    """A written level-1 queue acknowledges, and what it holds survives a backend that
    is down for a while."""
    healthy, faulty = two
    faulty.script([Answer(UNAVAILABLE)] * 3)
    keys: dict[str, Any] = {
        "queue": {"enabled": True},
        "retry_on_failure": {"enabled": True, **FAST},
        "otlp": {"retry_on_failure": {"enabled": False}},
    }
    hosts = [healthy.address, faulty.address]
    async with router(hosts, tmp_path, backends=two, **keys) as running:
        for seed in range(5):
            reply = await running.client.export(realistic_request(SPANS, seed=seed))
            assert reply.code is grpc.StatusCode.OK
        await running.drain()
        assert running.left() == {"delivered": 5 * SPANS}
        assert healthy.span_count + faulty.span_count == 5 * SPANS


async def test_a_full_level_1_queue_refuses_at_the_door(
    two: tuple[Backend, Backend], tmp_path: Path
) -> None:
    """When the queue is full the client is told to come back, and nothing is lost."""
    for backend in two:
        backend.hold()
    keys = {"queue": {"enabled": True, "queue_size": 3, "num_consumers": 1}}
    hosts = [backend.address for backend in two]
    async with router(hosts, tmp_path, backends=two, **keys) as running:
        replies = [
            await running.client.export(realistic_request(SPANS, seed=seed))
            for seed in range(6)
        ]
        taken = [r for r in replies if r.code is grpc.StatusCode.OK]
        turned_away = [r for r in replies if r.code is UNAVAILABLE]
        assert len(taken) + len(turned_away) == 6
        assert len(taken) == 3
        assert all(reply.retry_after_s for reply in turned_away)
        for backend in two:
            backend.release()
        await running.drain()
        assert sum(backend.span_count for backend in two) == 3 * SPANS


async def test_no_backends_is_not_ready_and_refuses(tmp_path: Path) -> None:
    """A name that does not resolve: the service runs, is not ready, and refuses."""
    resolver = {
        "dns": {"hostname": "nowhere.invalid.", "port": 4317, "timeout": "200ms"}
    }
    async with router([], tmp_path, backends=[], resolver=resolver) as running:
        assert not running.routing.ready
        reply = await running.client.export(realistic_request(8, seed=1))
        assert reply.code is UNAVAILABLE
        assert "no backend is known" in reply.details


async def test_many_clients_at_once_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """64 concurrent requests over 5 backends arrive span for span, each once."""
    rng = random.Random(9)
    async with AsyncExitStack() as stack:
        backends = [await stack.enter_async_context(Backend()) for _ in range(5)]
        hosts = [backend.address for backend in backends]
        running = await stack.enter_async_context(
            router(hosts, tmp_path, backends=backends)
        )
        payloads = [
            realistic_request(rng.randint(1, 60), seed=seed) for seed in range(64)
        ]
        replies = await asyncio.gather(*map(running.client.export, payloads))
        assert {reply.code for reply in replies} == {grpc.StatusCode.OK}
        sent = [span for payload in payloads for span in spans_of(payload)]
        arrived = [s for b in backends for p in b.received for s in spans_of(p)]
        assert sorted(map(repr, arrived)) == sorted(map(repr, sent))
        homes: dict[bytes, str] = {}
        for backend in backends:
            for payload in backend.received:
                for span in spans_of(payload):
                    home = homes.setdefault(span.trace_id, backend.address)
                    assert home == backend.address
