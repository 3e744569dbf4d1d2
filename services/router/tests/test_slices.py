"""Much work in slices: its order, its turns, and that nothing of it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import pytest
from services.router.tests.rig import part_of

from tailring_resolvers import Endpoint
from tailring_router import lists
from tailring_router.backlog import Total
from tailring_router.lists import Lists
from tailring_router.rests import Rest, Rests
from tailring_router.shared import Shared
from tailring_router.slices import TURN_BYTES, Slices
from tailring_router.topology import Topology
from tailring_runtime.tasks import TaskSet


def doing(done: list[int]) -> Callable[[int], int]:
    """Work that fills a turn of the loop with each piece."""

    def do(number: int) -> int:
        """Note the piece."""
        done.append(number)
        return TURN_BYTES

    return do


async def test_a_slice_a_turn_in_order() -> None:
    """The first slice is done at once, the next in later turns, first come first."""
    slices, done = Slices(), list[int]()
    slices.each([1, 2], doing(done))
    slices.each([3], doing(done))
    seen = [list(done)]
    for _ in range(3):
        await asyncio.sleep(0)
        seen.append(list(done))
    assert seen == [[1], [1, 2], [1, 2, 3], [1, 2, 3]]


async def test_twenty_small_pieces_a_turn() -> None:
    """Pieces without bytes have a cost as well."""
    slices, done = Slices(), list[int]()

    def do(number: int) -> int:
        """Note the piece, which has no bytes."""
        done.append(number)
        return 0

    slices.each(range(50), do)
    assert 20 <= len(done) <= 21
    await asyncio.sleep(0)
    assert 40 <= len(done) <= 42


async def test_a_piece_that_fails_takes_no_other_with_it() -> None:
    """What stands behind it is done in the next turn."""
    slices, done = Slices(), list[int]()

    def do(number: int) -> int:
        """Fail with the first piece."""
        if number == 1:
            raise ValueError(number)
        done.append(number)
        return 0

    with pytest.raises(ValueError, match="1"):
        slices.each([1, 2, 3], do)
    await asyncio.sleep(0)
    assert done == [2, 3]


async def test_who_waits_for_a_turn_comes_before_the_work() -> None:
    """A connection is not made after hundreds of MiB were moved."""
    slices, done = Slices(), list[int]()
    slices.each(range(10), doing(done))
    await slices.turn()
    assert len(done) <= 3


async def test_closed_slices_do_all_at_once() -> None:
    """Closing does what waits, and nothing waits from then on."""
    slices, done = Slices(), list[int]()
    slices.each(range(10), doing(done))
    slices.close()
    slices.each([10], doing(done))
    await slices.turn()
    assert done == list(range(11))


async def test_moved_parts_count_until_they_are_resolved() -> None:
    """The bytes of parts that wait for their slice are among what waits."""
    shared = Shared()
    parts = [part_of(b"p" * TURN_BYTES) for _ in range(3)]
    shared.move(parts)
    assert [part.result.done() for part in parts] == [True, False, False]
    assert shared.total.size_bytes == 2 * TURN_BYTES
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert all(part.result.done() for part in parts)
    assert not shared.total.size_bytes


async def test_a_rest_that_is_to_end_can_be_cancelled() -> None:
    """Until its turn comes it takes up its room; cancelled, it never goes on."""
    total, ended = Total(), list[int]()
    rests = Rests(total)
    made: list[Rest] = []
    for number in range(3):
        part = part_of(b"p" * TURN_BYTES)
        made.append(rests.rest(part, 60.0, then=partial(ended.append, number)))
    rests.end_all()
    rests.end_all()
    assert ended == [0]
    assert total.size_bytes == 2 * TURN_BYTES
    made[1].cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert ended == [0, 2]
    assert not total.size_bytes
    assert not len(rests)


async def test_a_list_that_could_not_be_taken_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The resolver believes it in force and says it no second time."""
    monkeypatch.setattr(lists, "RETRY_FIRST_S", 0.001)
    taken: list[Topology] = []
    failures = [OSError("no room for another connection"), ValueError("odd")]
    tasks = TaskSet("test")

    def open_member(_address: str) -> None:
        """Fail twice."""
        if failures:
            raise failures.pop()

    of = Lists(
        generation=3,
        tasks=tasks,
        members=(),
        open_member=open_member,
        take=taken.append,
    )
    of.update(tuple(Endpoint(f"b{n}", f"b{n}:1") for n in range(41)))
    async with asyncio.timeout(10):
        await tasks.join()
    assert [len(topology.addresses) for topology in taken] == [41]
    assert not tasks.failures
