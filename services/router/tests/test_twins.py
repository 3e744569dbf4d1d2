"""The same bytes again, while the first ones are in flight."""

from __future__ import annotations

import asyncio

from services.router.tests.rig import (
    NEVER,
    Bench,
    MakeBench,
)

from tailring_pipeline import Refused
from tailring_router.delivery import Delivery


async def _in_flight(bench: Bench) -> asyncio.Future[None]:
    """A delivery whose part is in flight, and its sender, who waits."""
    bench.use("a")
    bench.clients["a:1"].hold()
    waiting = asyncio.ensure_future(bench.begin().finish())
    await bench.clients["a:1"].wait_tried(1)
    return waiting


async def _again_after_leaving(bench: Bench, waiting: asyncio.Future[None]) -> Delivery:
    """The sender leaves, and sends the same again while the first is in flight."""
    waiting.cancel()
    await asyncio.sleep(0)
    again = bench.begin()
    await asyncio.sleep(0.01)
    assert len(bench.clients["a:1"].tried) == 1
    return again


async def test_the_same_bytes_wait_for_those_in_flight(make_bench: MakeBench) -> None:
    """What arrived for a sender who had left is not sent a second time for him."""
    bench = make_bench()
    again = await _again_after_leaving(bench, await _in_flight(bench))
    bench.clients["a:1"].release()
    async with asyncio.timeout(10):
        await again.finish()
    assert len(bench.clients["a:1"].delivered) == 1
    assert set(bench.left()) == {"delivered", "repeated"}


async def test_the_same_bytes_are_sent_when_the_first_did_not_arrive(
    make_bench: MakeBench,
) -> None:
    """A fate that is no delivery is no reason to wait any longer."""
    bench = make_bench(level2=NEVER)
    again = await _again_after_leaving(bench, await _in_flight(bench))
    bench.clients["a:1"].script([Refused("unavailable", "busy")])
    bench.clients["a:1"].release()
    async with asyncio.timeout(10):
        await again.finish()
    assert len(bench.clients["a:1"].tried) == 2


async def test_who_leaves_twice_is_not_sent(make_bench: MakeBench) -> None:
    """The second copy of one who left again is given up, not sent for nobody."""
    bench = make_bench(level2=NEVER)
    again = await _again_after_leaving(bench, await _in_flight(bench))
    waiting = asyncio.ensure_future(again.finish())
    await asyncio.sleep(0)
    waiting.cancel()
    bench.clients["a:1"].script([Refused("unavailable", "busy")])
    bench.clients["a:1"].release()
    await asyncio.sleep(0.01)
    assert len(bench.clients["a:1"].tried) == 1
    assert not bench.dispatcher.held_items()


async def test_the_same_bytes_are_moved_with_the_ring(make_bench: MakeBench) -> None:
    """A copy that waits is sent to the new owner when the first cannot be known."""
    bench = make_bench(timeout_s=0.01)
    again = await _again_after_leaving(bench, await _in_flight(bench))
    bench.use("b")
    async with asyncio.timeout(10):
        await again.finish()
    assert len(bench.clients["b:1"].delivered) == 1
