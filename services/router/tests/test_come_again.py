"""Requests that failed, or whose sender left, and come again: what is sent, and what is
answered."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from services.router.tests.rig import (
    BATCH,
    NEVER,
    SPANS,
    UNREACHABLE,
    Bench,
    MakeBench,
)

from tailring_pipeline import Batch, Refused, Rejected
from tailring_router.metrics import Door
from tailring_router.part import now_ns
from tailring_testkit.otlp import realistic_request, spans_of

OFF = {"enabled": False}
NO = Rejected("bad_data", "no")
# Nobody was there to take it, so nothing is in doubt.
ABSENT = Refused("unreachable", "failed to connect")


def _copies(bench: Bench) -> Counter[bytes]:
    """How often each span came to any backend."""
    payloads = [one for client in bench.everyone for one in client.delivered]
    return Counter(span.span for one in payloads for span in spans_of(one))


async def _leave(bench: Bench, batch: Batch = BATCH) -> None:
    """A sender whose patience is short."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(bench.dispatcher.begin(batch).finish(), 0.02)


async def test_a_repeated_request_costs_no_second_copy(make_bench: MakeBench) -> None:
    """A sender that repeats a refused request has each span delivered once."""
    bench = make_bench(level2=OFF)
    bench.use("a", "b", "c")
    bench.clients["b:1"].script([UNREACHABLE, UNREACHABLE])
    for _ in range(2):
        with pytest.raises(Refused):
            await bench.begin().finish()
    await bench.begin().finish()
    assert [len(bench.clients[n].delivered) for n in ("a:1", "b:1", "c:1")] == [1, 1, 1]
    assert bench.delivered() == SPANS
    assert bench.left()["delivered"] == SPANS
    share = len(spans_of(bench.clients["b:1"].delivered[0]))
    assert bench.left()["repeated"] == 2 * (SPANS - share)


@pytest.mark.parametrize("level2", [OFF, NEVER])
async def test_a_change_of_the_ring_costs_no_second_copy(
    make_bench: MakeBench, level2: dict[str, object]
) -> None:
    """A backend dies, senders are refused or leave, it leaves the list, and they send
    again: each span comes once, although it is cut into other parts."""
    bench = make_bench(level2=level2)
    bench.use("a", "b", "c", "d")
    bench.clients["b:1"].answer = ABSENT
    batches = [Batch(realistic_request(SPANS, seed=one), SPANS) for one in range(5)]
    for _ in range(2):
        for batch in batches:
            with pytest.raises((Refused, TimeoutError)):
                await asyncio.wait_for(bench.dispatcher.begin(batch).finish(), 0.02)
    bench.use("a", "c", "d", "e")
    for batch in batches:
        await bench.dispatcher.begin(batch).finish()
    assert set(_copies(bench).values()) == {1}
    assert bench.delivered() == 5 * SPANS
    assert bench.metrics.doubted.value == 0


async def test_moved_parts_are_accounted_too(make_bench: MakeBench) -> None:
    """Of a part that was cut again some arrive: only the others are sent again."""
    bench = make_bench(level2=NEVER)
    bench.use("a", "b")
    bench.clients["b:1"].answer = UNREACHABLE
    waiting = asyncio.ensure_future(bench.begin().finish())
    await bench.clients["b:1"].wait_tried(1)
    await asyncio.sleep(0.01)
    bench.clients["b:1"].answer = None
    bench.use("a", "c", "d")
    bench.clients["d:1"].answer = UNREACHABLE
    await bench.clients["d:1"].wait_tried(1)
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert 0 < bench.delivered() < SPANS
    bench.use("a", "e")
    async with asyncio.timeout(10):
        await bench.begin().finish()
    assert set(_copies(bench).values()) == {1}
    assert bench.delivered() == SPANS


async def test_what_arrives_after_its_sender_left_is_remembered(
    make_bench: MakeBench,
) -> None:
    """In flight when the sender gave up, delivered later: its repeat is not sent, also
    when the ring has changed."""
    bench = make_bench(level2=NEVER)
    bench.use("a")
    bench.clients["a:1"].hold()
    await _leave(bench)
    bench.clients["a:1"].release()
    await asyncio.sleep(0.01)
    bench.use("b")
    await bench.begin().finish()
    assert bench.clients["a:1"].delivered == [BATCH.payload]
    assert bench.left() == {"delivered": SPANS, "repeated": SPANS}


async def test_what_has_arrived_needs_no_backend(make_bench: MakeBench) -> None:
    """A repeat of which nothing remains is answered when no backend is known."""
    bench = make_bench(level2=NEVER)
    bench.use("a")
    bench.clients["a:1"].hold()
    await _leave(bench)
    bench.clients["a:1"].release()
    await asyncio.sleep(0.01)
    bench.fleet.update(())
    await bench.begin().finish()
    assert bench.left() == {"delivered": SPANS, "repeated": SPANS}


async def test_equal_requests_that_succeed_are_all_delivered(
    make_bench: MakeBench,
) -> None:
    """What a sender sends twice on its own account is sent twice, however long the
    answers took."""
    bench = make_bench()
    bench.use("a")
    bench.clients["a:1"].hold()
    first = asyncio.ensure_future(bench.begin().finish())
    await asyncio.sleep(1.2)
    bench.clients["a:1"].release()
    await first
    for _ in range(10):
        await bench.begin().finish()
    assert bench.delivered() == 11 * SPANS


async def test_only_one_request_is_taken_for_the_repeat(make_bench: MakeBench) -> None:
    """Of equal requests after one whose sender left, the first is its repeat."""
    bench = make_bench()
    bench.use("a")
    bench.clients["a:1"].hold()
    await _leave(bench)
    bench.clients["a:1"].release()
    await asyncio.sleep(0.01)
    for _ in range(5):
        await bench.begin().finish()
    assert bench.delivered() == 5 * SPANS
    assert bench.metrics.left_by(Door.REPEATED) == SPANS


async def test_an_answered_queue_has_no_repeats(make_bench: MakeBench) -> None:
    """What a queue that has acknowledged gives up is repeated by nobody: an equal
    request is another one."""
    bench = make_bench(level2=OFF, acknowledged=True)
    bench.use("a", "b")
    bench.clients["b:1"].script([UNREACHABLE])
    with pytest.raises(Refused):
        await bench.begin().finish()
    await bench.begin().finish()
    assert len(bench.clients["a:1"].delivered) == 2


@pytest.mark.parametrize("answer", [1, NO])
async def test_what_was_refused_for_good_is_not_sent_again(
    make_bench: MakeBench, answer: int | Rejected
) -> None:
    """One backend refuses a span or all, another is away: the first gets its part once,
    and the repeat that succeeds is told how many items were refused."""
    bench = make_bench(level2=OFF)
    bench.use("a", "b")
    bench.clients["a:1"].answer = answer
    bench.clients["b:1"].answer = UNREACHABLE
    for _ in range(3):
        with pytest.raises(Refused):
            await bench.begin().finish()
    assert len(bench.clients["a:1"].tried) == 1
    bench.clients["b:1"].answer = None
    with pytest.raises(Rejected) as rejected:
        await bench.begin().finish()
    assert len(bench.clients["a:1"].tried) == 1
    share = SPANS - len(spans_of(bench.clients["b:1"].delivered[0]))
    assert rejected.value.items == (1 if answer == 1 else share)
    assert bench.left()["rejected"] == 4 * rejected.value.items


@pytest.mark.parametrize(("left_ns", "copies"), [(-1, 2), (10**12, 3)])
async def test_who_is_answered_late_may_repeat_once(
    make_bench: MakeBench, left_ns: int, copies: int
) -> None:
    """Of equal requests after one that was answered past its deadline one is a repeat;
    after one that was answered in time none is."""
    bench = make_bench()
    bench.use("a")
    late = replace(BATCH, deadline_ns=now_ns() + left_ns)
    await bench.dispatcher.begin(late).finish()
    for _ in range(2):
        await bench.begin().finish()
    assert bench.delivered() == copies * SPANS


async def test_an_answered_queue_has_no_late_senders(make_bench: MakeBench) -> None:
    """A queue that has acknowledged delivers when it can: equal requests are sent."""
    bench = make_bench(acknowledged=True)
    bench.use("a")
    late = replace(BATCH, deadline_ns=0)
    for _ in range(2):
        await bench.dispatcher.begin(late).finish()
    assert bench.delivered() == 2 * SPANS
