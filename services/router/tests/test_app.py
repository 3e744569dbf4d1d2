"""The wired router on real sockets: what backends and clients do to it.

Each row of `FAULTS` is a backend's behaviour, with the answer that the client gets,
the door by which the faulty backend's spans leave, and what becomes of the others.
"""

import asyncio
import itertools
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from services.router.tests.wired import router

from tailring_testkit.backend import OK, Answer, Backend, partial_success
from tailring_testkit.otlp import realistic_request, spans_of
from tailring_testkit.otlp_clients import GrpcReply
from tailring_testkit.ports import free_port

SPANS = 400
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


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


async def test_the_words_of_a_partial_success_reach_the_client(
    two: tuple[Backend, Backend], tmp_path: Path
) -> None:
    """Why a backend did not take some spans is told to whoever sent them."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTraceServiceResponse,
    )

    two[0].answer = partial_success(3, "too old")
    hosts = [one.address for one in two]
    async with router(hosts, tmp_path, backends=two) as running:
        reply = await running.client.export(realistic_request(SPANS, seed=4))
    partial = ExportTraceServiceResponse.FromString(reply.response).partial_success
    assert partial.rejected_spans == 3
    assert partial.error_message == "too old"


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


async def test_no_backends_is_not_ready_and_refuses(tmp_path: Path) -> None:
    """A name that does not resolve: the service runs, is not ready, and refuses."""
    resolver = {
        "dns": {"hostname": "nowhere.invalid.", "port": 4317, "timeout": "200ms"}
    }
    async with router([], tmp_path, backends=[], resolver=resolver) as running:
        assert not running.exporter.ready
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


async def test_a_client_that_is_answered_at_its_deadline_gets_no_second_copy(
    tmp_path: Path,
) -> None:
    """In the last moments of its time it may have heard the answer or not: what it
    sends again is answered and not sent, and what it sends after that is."""
    async with Backend() as backend:
        hosts = [backend.address]
        async with router(hosts, tmp_path, backends=[backend]) as running:
            for seed in range(4):
                payload = realistic_request(SPANS, seed=seed)
                before = backend.requests
                # In time, but within the last 250 ms; a busy machine may miss that.
                backend.script([Answer(delay_s=4.8), OK])
                reply = await running.client.export(payload, timeout_s=5.0)
                if reply.code is grpc.StatusCode.OK:
                    break
            assert reply.code is grpc.StatusCode.OK
            for expected in (1, 2):
                reply = await running.client.export(payload)
                assert reply.code is grpc.StatusCode.OK
                assert backend.requests == before + expected
