"""Parts between two tries of level 1: the room they take, and their end."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from services.router.tests.rig import (
    BATCH,
    NEVER,
    UNREACHABLE,
    Bench,
    MakeBench,
)

from tailring_pipeline import Refused
from tailring_router.backlog import Total
from tailring_router.rests import Rests


async def _take(bench: Bench, deliveries: int) -> list[bool]:
    """Begin deliveries whose senders are answered where there is room; where not."""
    turned_away = []
    for _ in range(deliveries):
        delivery = bench.begin()
        turned_away.append(delivery.turned_away)
        delivery.acknowledge(lambda _: None)
        await asyncio.sleep(0.005)
    return turned_away


async def test_acknowledged_parts_keep_their_room_at_the_backend_that_failed(
    make_bench: MakeBench,
) -> None:
    """Without a level-1 queue, the queue of a backend bounds what was acknowledged for
    it, also while it rests; a healthy backend goes on."""
    bench = make_bench(
        level1={"enabled": True, **NEVER}, level2={"enabled": False}, queue_max=3
    )
    bench.use("a", "b")
    bench.clients["a:1"].answer = UNREACHABLE
    assert await _take(bench, 6) == [False] * 3 + [True] * 3
    assert len(bench.clients["a:1"].tried) == 3
    assert len(bench.clients["b:1"].delivered) == 6


async def test_room_is_free_again_when_the_ring_changes(
    make_bench: MakeBench,
) -> None:
    """What rested goes to its new backend and takes no room any more."""
    bench = make_bench(
        level1={"enabled": True, **NEVER}, level2={"enabled": False}, queue_max=2
    )
    bench.use("a", "b")
    bench.clients["a:1"].answer = UNREACHABLE
    assert await _take(bench, 3) == [False, False, True]
    bench.use("b")
    bench.use("a", "b")
    await asyncio.sleep(0.005)
    assert await _take(bench, 2) == [False, False]


async def test_parts_of_a_sender_who_waits_take_no_room(
    make_bench: MakeBench,
) -> None:
    """Nobody else is turned away for them: their sender sends nothing meanwhile."""
    bench = make_bench(
        level1={"enabled": True, **NEVER}, level2={"enabled": False}, queue_max=1
    )
    bench.use("a")
    bench.clients["a:1"].answer = UNREACHABLE
    waiting = [asyncio.ensure_future(bench.begin().finish()) for _ in range(1)]
    await asyncio.sleep(0.005)
    assert not bench.begin().turned_away
    for one in waiting:
        one.cancel()


async def test_nothing_rests_in_a_fleet_that_is_closed(
    make_bench: MakeBench,
) -> None:
    """A part that fails while the fleet closes has failed for good."""
    bench = make_bench(level1={"enabled": True, **NEVER}, level2={"enabled": False})
    bench.use("a")
    bench.clients["a:1"].script([UNREACHABLE])
    delivery = bench.begin()
    waiting = asyncio.ensure_future(delivery.finish())
    await bench.clients["a:1"].wait_tried(1)
    await bench.fleet.close()
    with pytest.raises(Refused):
        await waiting
    assert not len(bench.fleet.rests)
    assert not bench.dispatcher.held_items()


async def test_who_blocks_on_overflow_waits_for_the_memory_of_the_fleet(
    make_bench: MakeBench,
) -> None:
    """Room is what a backend has and what all of them together have."""
    bench = make_bench(queued_bytes_max=len(BATCH.payload), sends_max=1)
    bench.use("a", "b")
    for client in bench.clients.values():
        client.hold()
    for _ in range(3):
        bench.begin().acknowledge(lambda _: None)
        await asyncio.sleep(0.005)
    waiting = asyncio.ensure_future(bench.fleet.wait_room(BATCH.payload))
    await asyncio.sleep(0.005)
    assert not waiting.done()
    for client in bench.clients.values():
        client.release()
    async with asyncio.timeout(10):
        await waiting
    assert not bench.begin().turned_away


async def test_a_rest_tells_its_end_once() -> None:
    """Cancelled or over: it takes no room from then on."""
    total = Total()
    rests = Rests(total)
    ended: list[str] = []
    for name in ("cancelled", "over"):
        told = partial(ended.append, name)
        rest = rests.rest(60.0, lambda: None, size_bytes=7, ended=told)
        (rest.cancel if name == "cancelled" else rests.end_all)()
        rest.cancel()
    assert ended == ["cancelled", "over"]
    assert total.size_bytes == 0
