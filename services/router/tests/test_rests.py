"""Parts between two tries of level 1: the room they take, and their end."""

from __future__ import annotations

import asyncio

import pytest
from services.router.tests.rig import (
    BATCH,
    NEVER,
    UNREACHABLE,
    Bench,
    MakeBench,
    part_of,
)

from tailring_pipeline import Refused
from tailring_router.backlog import Total
from tailring_router.part import Part
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


class _Room:
    def __init__(self) -> None:
        self.taken: list[Part] = []

    def rest(self, part: Part) -> None:
        self.taken.append(part)

    def rested(self, part: Part) -> None:
        self.taken.remove(part)


async def test_a_rest_gives_its_room_back_once() -> None:
    """Cancelled or over: it takes no room from then on."""
    total, room = Total(), _Room()
    rests = Rests(total)
    for cancelled in (True, False):
        rest = rests.rest(part_of(), 60.0, then=lambda: None, room=room)
        assert total.size_bytes == 1
        assert len(room.taken) == 1
        (rest.cancel if cancelled else rests.end_all)()
        rest.cancel()
        assert total.size_bytes == 0
        assert not room.taken


async def test_what_rests_goes_on_when_its_backend_is_back(
    make_bench: MakeBench,
) -> None:
    """A delivery to a backend that was away ends the rests of what failed there, but
    for those that the backend had asked for."""
    bench = make_bench(level1={"enabled": True, **NEVER}, level2={"enabled": False})
    bench.use("a")
    asked = Refused("throttled", "later", retry_after_s=3600.0)
    bench.clients["a:1"].script([UNREACHABLE, asked, UNREACHABLE, None])
    deliveries = [asyncio.ensure_future(bench.begin().finish())]
    for calls in range(1, 4):
        await bench.clients["a:1"].wait_tried(calls)
        await asyncio.sleep(0.005)
        deliveries.append(asyncio.ensure_future(bench.begin().finish()))
    async with asyncio.timeout(10):
        await asyncio.gather(deliveries[0], deliveries[2], deliveries[3])
    assert not deliveries[1].done()
    deliveries[1].cancel()
