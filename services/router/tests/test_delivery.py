"""Deliveries: parts to their backends, what comes back, and by which door."""

from __future__ import annotations

import asyncio
import random

import pytest
from services.router.tests.rig import (
    NEVER,
    SOON,
    SPANS,
    UNREACHABLE,
    MakeBench,
)

from tailring_pipeline import Batch, Refused, Rejected
from tailring_router.delivery import Delivery
from tailring_testkit.otlp import spans_of


async def test_every_backend_gets_its_part_and_the_sender_an_answer(
    make_bench: MakeBench,
) -> None:
    """A request over three healthy backends is delivered once, whole."""
    bench = make_bench()
    bench.use("a", "b", "c")
    await bench.begin().finish()
    assert bench.delivered() == SPANS
    assert all(len(client.delivered) == 1 for client in bench.clients.values())
    assert bench.left() == {"delivered": SPANS}


async def test_a_full_backend_costs_nobody_else_a_part(make_bench: MakeBench) -> None:
    """A backend without room fails its part at once; the others get theirs, and the
    sender is told what remains."""
    bench = make_bench(queue_max=1, sends_max=1)
    bench.use("a", "b")
    bench.clients["a:1"].hold()
    held = []
    for _ in range(2):  # one part in flight, one in the queue
        held.append(bench.begin())
        await asyncio.sleep(0.01)
    with pytest.raises(Refused) as refused:
        await bench.begin().finish()
    assert refused.value.reason == "queue_full"
    assert refused.value.remaining is not None
    mine = spans_of(bench.clients["b:1"].delivered[0])
    assert refused.value.remaining.items == SPANS - len(mine)
    assert len(bench.clients["b:1"].delivered) == 3
    bench.clients["a:1"].release()
    for delivery in held:
        await delivery.finish()


async def test_only_the_failed_part_is_routed_again(make_bench: MakeBench) -> None:
    """With level 1 retrying, healthy backends get their part exactly once."""
    bench = make_bench(level1={"enabled": True, **SOON}, level2={"enabled": False})
    bench.use("a", "b", "c")
    bench.clients["b:1"].script([UNREACHABLE, UNREACHABLE])
    await bench.begin().finish()
    assert [len(bench.clients[n].tried) for n in ("a:1", "b:1", "c:1")] == [1, 3, 1]
    assert bench.delivered() == SPANS


async def test_a_part_of_a_removed_backend_goes_to_the_new_owner(
    make_bench: MakeBench,
) -> None:
    """What a removed backend did not take is delivered by the ring of that moment."""
    bench = make_bench(level2=NEVER)
    bench.use("a", "b")
    bench.clients["b:1"].answer = UNREACHABLE
    delivery = bench.begin()
    await bench.clients["b:1"].wait_tried(1)
    bench.use("a")
    async with asyncio.timeout(10):
        await delivery.finish()
    assert bench.delivered() == SPANS
    assert bench.metrics.moved.value > 0
    assert bench.left() == {"delivered": SPANS}


async def test_a_suspected_backend_gives_its_parts_back_when_the_ring_changes(
    make_bench: MakeBench,
) -> None:
    """A backend that cannot be reached but stays in the list keeps no part hostage."""
    bench = make_bench(level2=NEVER)
    bench.use("a", "b")
    bench.clients["b:1"].answer = UNREACHABLE
    delivery = bench.begin()
    await bench.clients["b:1"].wait_tried(1)
    await asyncio.sleep(0)
    bench.clients["b:1"].answer = None
    bench.use("a", "b", "c")
    async with asyncio.timeout(10):
        await delivery.finish()
    assert bench.delivered() == SPANS


async def test_a_moved_part_does_not_wait_for_its_siblings(
    make_bench: MakeBench,
) -> None:
    """A part is routed again at once although another part is still in flight."""
    bench = make_bench(level2=NEVER)
    bench.use("a", "b", "c")
    bench.clients["a:1"].hold()
    bench.clients["b:1"].answer = UNREACHABLE
    delivery = bench.begin()
    await bench.clients["b:1"].wait_tried(1)
    await asyncio.sleep(0)
    bench.use("a", "c")
    async with asyncio.timeout(10):
        await bench.clients["c:1"].wait_tried(2)
    bench.clients["a:1"].release()
    await delivery.finish()
    assert bench.delivered() == SPANS


async def test_a_failure_without_level_1_is_the_senders_to_repeat(
    make_bench: MakeBench,
) -> None:
    """The sender is refused; what was delivered has left as delivered."""
    bench = make_bench(level2={"enabled": False})
    bench.use("a", "b")
    bench.clients["b:1"].answer = Refused("unavailable", "busy", retry_after_s=3.0)
    with pytest.raises(Refused) as refused:
        await bench.begin().finish()
    assert (refused.value.reason, refused.value.retry_after_s) == ("unavailable", 3.0)
    left = bench.left()
    assert left["delivered"] == bench.delivered() > 0
    assert left["refused"] == SPANS - bench.delivered()


async def test_the_longest_wait_is_told(make_bench: MakeBench) -> None:
    """Of several failures the sender is told the one that asks for most patience."""
    bench = make_bench(level2={"enabled": False})
    bench.use("a", "b", "c")
    bench.clients["a:1"].answer = Refused("throttled", "busy", retry_after_s=30.0)
    for name in ("b:1", "c:1"):
        bench.clients[name].answer = UNREACHABLE
    with pytest.raises(Refused) as refused:
        await bench.begin().finish()
    assert refused.value.retry_after_s == 30.0


async def test_a_sender_behind_a_queue_takes_his_request_back(
    make_bench: MakeBench,
) -> None:
    """`finish` is awaited by a queue and its sender leaves: nothing is tried again, the
    queue is told what did not arrive, and a repetition costs no second copy."""
    bench = make_bench(level2=NEVER)
    bench.use("a", "b")
    bench.clients["a:1"].hold()
    bench.clients["b:1"].answer = UNREACHABLE
    delivery = bench.begin()
    finishing = asyncio.ensure_future(delivery.finish())
    await bench.clients["b:1"].wait_tried(1)
    await asyncio.sleep(0.01)
    delivery.sender_left()
    bench.clients["a:1"].release()
    with pytest.raises(Refused) as refused:
        await finishing
    assert refused.value.remaining is not None
    assert refused.value.remaining.items == SPANS - bench.delivered() > 0
    bench.clients["b:1"].answer = None
    await bench.begin().finish()
    assert bench.delivered() == SPANS


async def test_level_1_gives_up_after_its_time(make_bench: MakeBench) -> None:
    """Retries of level 1 end with `max_elapsed_time` and refuse the sender."""
    short = {"enabled": True, **SOON, "max_elapsed_time": 20_000_000}
    bench = make_bench(level1=short, level2={"enabled": False})
    bench.use("a")
    bench.clients["a:1"].answer = UNREACHABLE
    with pytest.raises(Refused):
        async with asyncio.timeout(10):
            await bench.begin().finish()
    assert len(bench.clients["a:1"].tried) > 2
    assert bench.left() == {"refused": SPANS}


async def test_a_part_refused_for_good_is_reported_by_number(
    make_bench: MakeBench,
) -> None:
    """The sender learns how many spans a backend will never take."""
    bench = make_bench()
    bench.use("a", "b")
    bench.clients["b:1"].answer = Rejected("permission_denied", "no")
    with pytest.raises(Rejected) as rejected:
        await bench.begin().finish()
    assert rejected.value.items == SPANS - bench.delivered()
    assert bench.left()["rejected"] == rejected.value.items


async def test_a_sender_that_goes_away_withdraws_what_is_not_sent(
    make_bench: MakeBench,
) -> None:
    """Cancelled while a backend is down: the queued part is dropped and counted."""
    bench = make_bench(level2=NEVER)
    bench.use("a", "b")
    bench.clients["b:1"].answer = UNREACHABLE
    waiting = asyncio.ensure_future(bench.begin().finish())
    await bench.clients["b:1"].wait_tried(1)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    left = bench.left()
    assert left["delivered"] == bench.delivered()
    assert left["abandoned"] == SPANS - bench.delivered()
    assert bench.metrics.held_items() == 0


async def test_an_acknowledged_delivery_that_fails_is_a_loss_with_a_name(
    make_bench: MakeBench,
) -> None:
    """After an early answer, exhausted retries are counted as a loss."""
    bench = make_bench(level2={"enabled": False})
    bench.use("a")
    bench.clients["a:1"].answer = Refused("unavailable", "busy")
    ended: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()
    bench.begin().acknowledge(ended.set_result)
    delivery = await ended
    assert delivery.loss is not None
    assert delivery.loss.reason == "unavailable"
    assert delivery.lost_items == SPANS
    assert bench.left() == {"retries_exhausted": SPANS}


async def test_an_acknowledged_delivery_that_is_abandoned_is_lost_at_shutdown(
    make_bench: MakeBench,
) -> None:
    """What is still held when the router stops leaves by the door of shutdown."""
    bench = make_bench(level2=NEVER)
    bench.use("a")
    bench.clients["a:1"].answer = UNREACHABLE
    delivery = bench.begin()
    delivery.acknowledge(lambda _: None)
    await bench.clients["a:1"].wait_tried(1)
    delivery.abandon()
    assert bench.left() == {"shutdown": SPANS}


async def test_when_the_last_backend_leaves_the_part_waits_for_another(
    make_bench: MakeBench,
) -> None:
    """With level 1 retrying, an empty ring is waited out."""
    bench = make_bench(level1={"enabled": True, **NEVER}, level2=NEVER)
    bench.use("a")
    bench.clients["a:1"].answer = UNREACHABLE
    delivery = bench.begin()
    await bench.clients["a:1"].wait_tried(1)
    bench.fleet.update(())
    await asyncio.sleep(0.01)
    bench.use("b")
    async with asyncio.timeout(10):
        await delivery.finish()
    assert bench.clients["b:1"].delivered


async def test_no_backend_at_all_refuses_the_sender(make_bench: MakeBench) -> None:
    """Before the first resolution the sender is told to try again."""
    bench = make_bench()
    with pytest.raises(Refused) as refused:
        await bench.begin().finish()
    assert refused.value.reason == "no_backends"
    assert bench.left() == {"refused": SPANS}


async def test_an_empty_request_is_done_at_once(make_bench: MakeBench) -> None:
    """A request without spans is acknowledged and sent to nobody."""
    bench = make_bench()
    bench.use("a")
    await bench.dispatcher.begin(Batch(b"", 0)).finish()
    assert bench.clients["a:1"].tried == []


async def test_random_histories_balance(make_bench: MakeBench) -> None:
    """Whatever backends do and however the ring changes: received = left + held,
    and nothing that was delivered is delivered twice."""
    rng = random.Random(20261125)
    bench = make_bench(level1={"enabled": True, **SOON, "max_elapsed_time": 0})
    names = ["a", "b", "c", "d"]
    bench.use(*names)
    outcomes = [None, None, None, UNREACHABLE, Refused("unavailable", "busy")]
    waiting: list[asyncio.Future[None]] = []
    for _ in range(300):
        for client in bench.clients.values():
            client.script([rng.choice(outcomes) for _ in range(3)])
        if rng.random() < 0.1:
            bench.use(*rng.sample(names, rng.randint(1, 4)))
        waiting.append(asyncio.ensure_future(bench.begin().finish()))
        if rng.random() < 0.3:
            await asyncio.sleep(0.001)
        assert bench.balanced()
    async with asyncio.timeout(30):
        await asyncio.gather(*waiting)
    assert bench.delivered() == 300 * SPANS
    assert bench.left() == {"delivered": 300 * SPANS}


async def test_random_histories_with_impatient_senders_balance(
    make_bench: MakeBench,
) -> None:
    """Senders that leave, early answers, refusals for good and full queues: at every
    moment received = left + held, and what left as delivered was delivered."""
    rng = random.Random(20261126)
    short = {**SOON, "max_elapsed_time": 5_000_000}
    bench = make_bench(
        level1={"enabled": True, **short}, level2=short, queue_max=3, sends_max=2
    )
    names = ["a", "b", "c", "d"]
    bench.use(*names)
    busy = Refused("unavailable", "busy")
    outcomes = [None, None, 3, UNREACHABLE, busy, Rejected("bad_data", "no")]
    waiting: list[asyncio.Future[None]] = []
    for _ in range(400):
        for client in bench.clients.values():
            client.script([rng.choice(outcomes) for _ in range(3)])
            (client.hold if rng.random() < 0.1 else client.release)()
        if rng.random() < 0.1:
            bench.use(*rng.sample(names, rng.randint(0, 4)))
        delivery = bench.begin()
        if rng.random() < 0.3:
            delivery.acknowledge(lambda _: None)
        else:
            waiting.append(asyncio.ensure_future(delivery.finish()))
            await asyncio.sleep(0)  # who is cancelled has begun to wait
        if rng.random() < 0.2:
            rng.choice(waiting or [asyncio.ensure_future(asyncio.sleep(0))]).cancel()
        if rng.random() < 0.3:
            await asyncio.sleep(0.001)
        assert bench.balanced()
    bench.use(*names)
    for client in bench.everyone:
        client.release()
        client.script(())
    async with asyncio.timeout(30):
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        while bench.dispatcher.held_items():  # noqa: ASYNC110 - a count has no event
            await asyncio.sleep(0.001)
    assert bench.balanced()
    left = bench.left()
    # Of a delivered request the spans that its backend did not take left as rejected.
    assert (
        left["delivered"] <= bench.delivered() <= left["delivered"] + left["rejected"]
    )
    assert {type(answer) for answer in answers} >= {
        type(None),
        asyncio.CancelledError,
        Refused,
        Rejected,
    }
    assert {"delivered", "rejected", "refused", "abandoned"} <= set(left)
