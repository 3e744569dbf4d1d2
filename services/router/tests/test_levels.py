"""Queues of both levels: who is answered when, and what a drain delivers."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
from services.router.tests.rig import BATCH, MakeBench
from services.router.tests.rig import SPANS as MANY
from services.router.tests.wired import FAST, router

from tailring_testkit.backend import Answer, Backend
from tailring_testkit.otlp import realistic_request
from tailring_testkit.ports import free_port

SPANS = 400
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
OK = grpc.StatusCode.OK
SLOWLY = {"initial_interval": "60s", "max_interval": "60s", "max_elapsed_time": 0}


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


async def test_a_dead_backend_does_not_hold_up_a_level_1_queue(tmp_path: Path) -> None:
    """The others get their parts of everything that was acknowledged; the dead one
    gets its own when it is back, also where level 2 blocks when it is full."""
    port = free_port()
    level2 = {"queue_size": 1, "num_consumers": 1, "block_on_overflow": True}
    keys = {
        "queue": {"enabled": True, "num_consumers": 1},
        "otlp": {"retry_on_failure": FAST, "sending_queue": level2},
    }
    async with Backend() as healthy:
        hosts = [healthy.address, f"127.0.0.1:{port}"]
        async with router(hosts, tmp_path, backends=[healthy], **keys) as running:
            for seed in range(20):
                reply = await running.client.export(realistic_request(SPANS, seed=seed))
                assert reply.code is OK
            received = "tailring_router_received_spans"
            async with asyncio.timeout(10):
                while (  # noqa: ASYNC110 - counters have no events
                    running.metrics.value(received) < 20 * SPANS
                    or running.left().get("delivered") != healthy.span_count
                ):
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            assert running.held() == 20 * SPANS - healthy.span_count
            async with Backend(port=port) as late:
                await running.drain()
                assert healthy.span_count + late.span_count == 20 * SPANS
            assert running.exporter.loss.spans == 0


async def test_a_drain_says_what_it_could_not_deliver(tmp_path: Path) -> None:
    """Acknowledged and undeliverable at the end of the drain: lost, by number."""
    keys = {"queue": {"enabled": True}, "otlp": {"retry_on_failure": FAST}}
    async with Backend() as healthy:
        hosts = [healthy.address, f"127.0.0.1:{free_port()}"]
        async with router(hosts, tmp_path, backends=[healthy], **keys) as running:
            await running.client.export(realistic_request(SPANS, seed=1))
            await running.drain(0.2)
            await running.exporter.terminate()
            assert running.exporter.loss.spans == SPANS - healthy.span_count > 0


async def test_a_drain_hurries_retries_along(tmp_path: Path) -> None:
    """A backend that comes back within the drain is tried although its next try was
    a minute away."""
    port = free_port()
    otlp = {"sending_queue": {"enabled": True}, "retry_on_failure": SLOWLY}
    hosts = [f"127.0.0.1:{port}"]
    async with router(hosts, tmp_path, backends=[], otlp=otlp) as running:
        await running.client.export(realistic_request(SPANS, seed=1))
        await asyncio.sleep(0.1)
        async with Backend(port=port) as late:
            running.exporter.hurry()
            await running.drain()
            assert late.span_count == SPANS


async def test_an_early_answer_needs_room_for_every_part(
    two: tuple[Backend, Backend], tmp_path: Path
) -> None:
    """With level 2 written out and one backend full the client is refused, and told
    when to come back; nothing that was acknowledged is lost."""
    _, stuck = two
    stuck.hold()
    otlp = {"sending_queue": {"enabled": True, "queue_size": 1, "num_consumers": 1}}
    hosts = [backend.address for backend in two]
    async with router(hosts, tmp_path, backends=two, otlp=otlp) as running:
        codes = []
        for seed in range(4):
            reply = await running.client.export(realistic_request(SPANS, seed=seed))
            codes.append(reply.code)
            await asyncio.sleep(0.02)
        assert codes == [OK, OK, UNAVAILABLE, UNAVAILABLE]
        stuck.release()
        await running.drain()
        assert running.exporter.loss.spans == 0
        assert running.held() == 0


async def test_block_on_overflow_waits_for_room(
    two: tuple[Backend, Backend], tmp_path: Path
) -> None:
    """With `block_on_overflow` nobody is refused: callers wait, and each span arrives
    once."""
    healthy, stuck = two
    stuck.hold()
    queue = {"queue_size": 1, "num_consumers": 1, "block_on_overflow": True}
    hosts = [backend.address for backend in two]
    otlp = {"sending_queue": queue}
    async with router(hosts, tmp_path, backends=two, otlp=otlp) as running:
        sending = [
            asyncio.ensure_future(
                running.client.export(realistic_request(SPANS, seed=seed))
            )
            for seed in range(8)
        ]
        await asyncio.sleep(0.2)
        assert not any(one.done() for one in sending)
        stuck.release()
        replies = await asyncio.gather(*sending)
        assert {reply.code for reply in replies} == {OK}
        assert running.left() == {"delivered": 8 * SPANS}
        assert healthy.span_count + stuck.span_count == 8 * SPANS


async def test_waiting_for_room_survives_a_change_of_the_ring(
    make_bench: MakeBench,
) -> None:
    """The backend that had no room leaves: whoever waited for it goes on."""
    bench = make_bench(queue_max=1, sends_max=1)
    bench.use("a")
    bench.clients["a:1"].hold()
    held = []
    for _ in range(2):
        held.append(bench.begin())
        await asyncio.sleep(0.01)
    waiting = asyncio.ensure_future(bench.fleet.wait_room(BATCH.payload))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    bench.use("b")
    async with asyncio.timeout(10):
        await waiting
        bench.clients["a:1"].release()
        for delivery in held:
            await delivery.finish()
    assert bench.delivered() == 2 * MANY


async def test_a_queue_that_is_off_bounds_no_parts(tmp_path: Path) -> None:
    """`sending_queue: {enabled: false}` refuses nobody for a number of parts."""
    async with Backend() as slow:
        slow.hold()
        otlp = {"sending_queue": {"enabled": False}}
        async with router(
            [slow.address], tmp_path, backends=[slow], otlp=otlp
        ) as running:
            sending = [
                asyncio.ensure_future(
                    running.client.export(realistic_request(1, seed=seed))
                )
                for seed in range(300)
            ]
            async with asyncio.timeout(10):
                while running.held() < 300:  # noqa: ASYNC110 - a counter
                    await asyncio.sleep(0.01)
            slow.release()
            replies = await asyncio.gather(*sending)
            assert {reply.code for reply in replies} == {OK}


async def test_who_leaves_while_a_level_1_queue_waits_for_him_sends_no_copies(
    tmp_path: Path,
) -> None:
    """With `wait_for_result` the queue takes a request back whose client gave up: his
    repetition is delivered once."""
    keys: dict[str, Any] = {"queue": {"enabled": True, "wait_for_result": True}}
    async with Backend() as slow:
        slow.hold()
        async with router([slow.address], tmp_path, backends=[slow], **keys) as running:
            payload = realistic_request(SPANS, seed=2)
            reply = await running.client.export(payload, timeout_s=0.3)
            assert reply.code is grpc.StatusCode.DEADLINE_EXCEEDED
            await asyncio.sleep(0.2)
            slow.release()
            async with asyncio.timeout(10):
                while running.held():  # noqa: ASYNC110 - a count has no event
                    await asyncio.sleep(0.01)
            reply = await running.client.export(payload)
            assert reply.code is OK
            assert slow.span_count == SPANS
