"""The backlog: limits, order, and parts that nobody waits for."""

import asyncio

import pytest

from tailring_pipeline import Sizer
from tailring_router.backlog import Backlog, Total
from tailring_router.part import Part


def _part(size_bytes: int = 10, spans: int = 2) -> Part:
    return Part(b"x" * size_bytes, spans, address="a:1")


@pytest.mark.parametrize(
    ("sizer", "size_max", "parts"),
    [("requests", 3, 3), ("items", 5, 3), ("bytes", 30, 3)],
)
async def test_each_sizer_fills_the_backlog(
    sizer: Sizer, size_max: int, parts: int
) -> None:
    """The backlog is full once the sizer's unit reaches its limit."""
    backlog = Backlog(sizer=sizer, size_max=size_max, bytes_max=1 << 20)
    for _ in range(parts):
        assert not backlog.full
        backlog.append(_part())
    assert backlog.full


async def test_bytes_are_limited_besides_the_sizer() -> None:
    """Few but huge parts fill the backlog too."""
    backlog = Backlog(sizer="requests", size_max=1000, bytes_max=100)
    backlog.append(_part(size_bytes=101))
    assert backlog.full


async def test_taking_keeps_order_and_the_byte_limit() -> None:
    """What is taken are the first parts that fit together."""
    backlog = Backlog(sizer="requests", size_max=10, bytes_max=1 << 20)
    parts = [_part() for _ in range(4)]
    for part in parts:
        backlog.append(part)
    assert backlog.take(25) == parts[:2]
    assert backlog.take(25) == parts[2:]
    assert backlog.items == backlog.size_bytes == 0


async def test_one_part_over_the_limit_is_taken_alone() -> None:
    """A part larger than a request may be is still sent."""
    backlog = Backlog(sizer="requests", size_max=10, bytes_max=1 << 20)
    backlog.append(_part(size_bytes=50))
    backlog.append(_part())
    assert len(backlog.take(20)) == 1


async def test_a_part_that_is_given_up_takes_no_room() -> None:
    """A part whose sender has gone frees its place at once."""
    total = Total()
    backlog = Backlog(sizer="requests", size_max=2, bytes_max=1 << 20, total=total)
    gone, stays = _part(size_bytes=90), _part(size_bytes=10)
    backlog.append(gone)
    backlog.append(stays)
    assert backlog.full
    backlog.remove(gone)
    assert not backlog.full
    assert gone not in backlog
    assert total.size_bytes == 10
    assert backlog.take(20) == [stays]
    assert total.size_bytes == backlog.size_bytes == 0
    backlog.check_invariants()


@pytest.mark.parametrize(
    ("sizer", "size"), [("requests", 1), ("items", 2), ("bytes", 10)]
)
async def test_what_rests_elsewhere_takes_room(sizer: Sizer, size: int) -> None:
    """A part that was sent in vain and comes again counts until it does."""
    backlog = Backlog(sizer=sizer, size_max=1, bytes_max=1 << 20)
    part = _part()
    backlog.rest(part)
    backlog.check_invariants()
    assert backlog.full
    assert backlog.size == size
    assert len(backlog) == 0
    backlog.rested(part)
    assert not backlog.full


async def test_the_total_of_a_fleet_announces_room() -> None:
    """Whoever waits for room in all backlogs together goes on when there is some."""
    total = Total(bytes_max=100)
    total.add(100)
    assert total.full
    waiter = asyncio.ensure_future(total.wait_room())
    await asyncio.sleep(0)
    assert not waiter.done()
    total.add(-1)
    async with asyncio.timeout(10):
        await waiter
