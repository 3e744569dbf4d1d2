"""The bounded queue: its limits, its order, and who waits for what."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import pytest

from tailring_pipeline import BoundedQueue, Closed, Empty, Full, Ticket, TooLarge
from tailring_testkit.virtual_time import virtual_time


def _put(queue: BoundedQueue[str], item: str, *, items: int = 1) -> Ticket[str]:
    return queue.put_nowait(item, items=items, nbytes=10 * items)


def _spawn(coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(coro)


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize("limit", ["requests_max", "items_max", "bytes_max"])
def test_a_full_queue_raises_full(limit: str) -> None:
    """Each of the three limits refuses what would exceed it, and keeps the rest."""
    queue: BoundedQueue[str] = BoundedQueue(
        **{limit: 20 if limit == "bytes_max" else 2}
    )
    _put(queue, "a")
    _put(queue, "b")
    with pytest.raises(Full):
        _put(queue, "c")
    assert [queue.get_nowait(), queue.get_nowait()] == ["a", "b"]


def test_an_item_larger_than_the_queue_is_too_large() -> None:
    """What never fits says so even when the queue is empty."""
    queue: BoundedQueue[str] = BoundedQueue(items_max=2)
    with pytest.raises(TooLarge):
        _put(queue, "a", items=3)
    assert queue.held == 0


def test_an_empty_queue_raises_empty_and_then_closed() -> None:
    """Taking without waiting tells whether something may still come."""
    queue: BoundedQueue[str] = BoundedQueue()
    with pytest.raises(Empty):
        queue.get_nowait()
    queue.close()
    with pytest.raises(Closed):
        queue.get_nowait()


def test_a_closed_queue_gives_what_it_holds() -> None:
    """After close nothing comes in and everything inside comes out in order."""
    queue: BoundedQueue[str] = BoundedQueue()
    _put(queue, "a")
    _put(queue, "b")
    queue.close()
    with pytest.raises(Closed):
        _put(queue, "c")
    assert [queue.get_nowait(), queue.get_nowait()] == ["a", "b"]


def test_a_leased_item_keeps_its_room() -> None:
    """The room of a leased item is free at its release and not before."""
    queue: BoundedQueue[str] = BoundedQueue(requests_max=1)
    _put(queue, "a")
    ticket = queue.lease_nowait()
    with pytest.raises(Full):
        _put(queue, "b")
    queue.release(ticket)
    _put(queue, "b")
    queue.check_invariants()


def test_releasing_twice_is_an_error() -> None:
    """A second release of a lease is a programmer's error and raises."""
    queue: BoundedQueue[str] = BoundedQueue()
    _put(queue, "a")
    ticket = queue.lease_nowait()
    queue.release(ticket)
    with pytest.raises(KeyError):
        queue.release(ticket)


def test_a_queued_item_can_be_withdrawn_once() -> None:
    """Withdrawing takes out the one item, and answers False when it is gone."""
    queue: BoundedQueue[str] = BoundedQueue()
    tickets = [_put(queue, name) for name in "abc"]
    assert queue.withdraw(tickets[1])
    assert not queue.withdraw(tickets[1])
    assert [queue.get_nowait(), queue.get_nowait()] == ["a", "c"]
    assert not queue.withdraw(tickets[0])


def test_the_statistics_count_what_is_held() -> None:
    """A snapshot counts queued and leased items, and what is queued by itself."""
    queue: BoundedQueue[str] = BoundedQueue()
    _put(queue, "a", items=2)
    _put(queue, "b", items=3)
    queue.lease_nowait()
    held = queue.statistics()
    assert (held.requests, held.items, held.nbytes, held.queued) == (2, 5, 50, 1)


def test_draining_takes_all_that_is_queued() -> None:
    """A drain returns the queued tickets in order and leaves the leased ones."""
    queue: BoundedQueue[str] = BoundedQueue()
    for name in "abc":
        _put(queue, name)
    queue.lease_nowait()
    assert [ticket.item for ticket in queue.drain()] == ["b", "c"]
    assert queue.held == 1


@virtual_time
async def test_getters_are_served_as_items_come() -> None:
    """Those who wait for items get one each."""
    queue: BoundedQueue[str] = BoundedQueue()
    getters = [_spawn(queue.get()) for _ in range(2)]
    await _settle()
    assert queue.statistics().getters_waiting == 2
    _put(queue, "a")
    _put(queue, "b")
    assert sorted(await asyncio.gather(*getters)) == ["a", "b"]


@virtual_time
async def test_a_getter_that_is_cancelled_passes_the_item_on() -> None:
    """An item whose getter was woken and cancelled at once goes to the next one."""
    queue: BoundedQueue[str] = BoundedQueue()
    first, second = _spawn(queue.get()), _spawn(queue.get())
    await _settle()
    _put(queue, "a")
    first.cancel()
    assert await second == "a"
    assert first.cancelled()
    queue.check_invariants()


@virtual_time
async def test_close_wakes_getters_with_closed() -> None:
    """Those who wait for what never comes are told."""
    queue: BoundedQueue[str] = BoundedQueue()
    getter = _spawn(queue.get())
    await _settle()
    queue.close()
    with pytest.raises(Closed):
        await getter


@virtual_time
async def test_putters_wait_their_turn() -> None:
    """Those who wait for room are admitted in the order in which they came."""
    queue: BoundedQueue[str] = BoundedQueue(requests_max=1)
    _put(queue, "a")
    putters = [_spawn(queue.put(name, items=1, nbytes=1)) for name in "bc"]
    await _settle()
    assert queue.statistics().putters_waiting == 2
    assert [await queue.get() for _ in range(3)] == ["a", "b", "c"]
    await asyncio.gather(*putters)


@virtual_time
async def test_nobody_overtakes_a_waiting_putter() -> None:
    """A small item is not let past a larger one that waits for room."""
    queue: BoundedQueue[str] = BoundedQueue(items_max=2)
    _put(queue, "a")
    putter = _spawn(queue.put("large", items=2, nbytes=1))
    await _settle()
    with pytest.raises(Full):
        _put(queue, "small")
    assert queue.get_nowait() == "a"
    await putter
    assert queue.get_nowait() == "large"


@virtual_time
async def test_close_wakes_putters_with_closed() -> None:
    """Those who wait for room are told that there will be none."""
    queue: BoundedQueue[str] = BoundedQueue(requests_max=1)
    _put(queue, "a")
    putter = _spawn(queue.put("b", items=1, nbytes=1))
    await _settle()
    queue.close()
    with pytest.raises(Closed):
        await putter
    assert queue.held == 1


@virtual_time
async def test_a_large_putter_that_leaves_lets_the_others_in() -> None:
    """When the head of the line is cancelled, those who fit come in."""
    queue: BoundedQueue[str] = BoundedQueue(items_max=2)
    _put(queue, "a")
    large = _spawn(queue.put("large", items=2, nbytes=1))
    await _settle()
    small = _spawn(queue.put("small", items=1, nbytes=1))
    await _settle()
    large.cancel()
    await small
    assert [queue.get_nowait(), queue.get_nowait()] == ["a", "small"]


@virtual_time
async def test_a_putter_cancelled_after_its_admission_leaves_nothing() -> None:
    """A cancelled put has put nothing in, even if room was found for it just before."""
    queue: BoundedQueue[str] = BoundedQueue(requests_max=1)
    _put(queue, "a")
    putter = _spawn(queue.put("b", items=1, nbytes=1))
    await _settle()
    assert queue.get_nowait() == "a"
    assert len(queue) == 1
    putter.cancel()
    await _settle()
    assert queue.held == 0
    queue.check_invariants()


@virtual_time
async def test_a_putter_cancelled_before_room_is_found_is_skipped() -> None:
    """Room that comes free goes past a putter whose task was just cancelled."""
    queue: BoundedQueue[str] = BoundedQueue(requests_max=1)
    _put(queue, "a")
    first = _spawn(queue.put("b", items=1, nbytes=1))
    await _settle()
    second = _spawn(queue.put("c", items=1, nbytes=1))
    await _settle()
    first.cancel()
    assert queue.get_nowait() == "a"
    await second
    assert queue.get_nowait() == "c"


class _Schedule:
    """A seeded random life of one queue, with every item numbered."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        limit = self.random.choice(["requests_max", "items_max", "bytes_max"])
        self.queue: BoundedQueue[int] = BoundedQueue(**{limit: 6})
        self.numbers = iter(range(10**6))
        self.offered: dict[int, asyncio.Task[Ticket[int]]] = {}
        self.entered: set[int] = set()
        self.tickets: list[Ticket[int]] = []
        self.leases: list[Ticket[int]] = []
        self.gone: list[int] = []
        self.tasks: list[asyncio.Task[Any]] = []

    async def run(self, steps: int) -> None:
        """Do ``steps`` random things, checking the queue after each."""
        actions = [
            self.put_nowait, self.put, self.get_nowait, self.get, self.lease,
            self.release, self.withdraw, self.cancel,
        ]  # fmt: skip
        for _ in range(steps):
            self.random.choice(actions)()
            self.queue.check_invariants()
            if self.random.random() < 0.5:
                await asyncio.sleep(0)
                self.queue.check_invariants()
        self.queue.close()
        await _settle()
        self.queue.check_invariants()

    def put_nowait(self) -> None:
        number = next(self.numbers)
        try:
            size = self.random.randint(1, 4)
            self.tickets.append(self.queue.put_nowait(number, items=size, nbytes=size))
            self.entered.add(number)
        except Full:
            return

    def put(self) -> None:
        number, size = next(self.numbers), self.random.randint(1, 4)
        task = _spawn(self.queue.put(number, items=size, nbytes=size))
        self.offered[number] = task
        self.tasks.append(task)

    def get_nowait(self) -> None:
        try:
            self.gone.append(self.queue.get_nowait())
        except Empty:
            return

    def get(self) -> None:
        async def take() -> None:
            ticket = await self.queue.lease()
            self.queue.release(ticket)
            self.gone.append(ticket.item)

        self.tasks.append(_spawn(take()))

    def lease(self) -> None:
        try:
            self.leases.append(self.queue.lease_nowait())
        except Empty:
            return

    def release(self) -> None:
        if self.leases:
            at = self.random.randrange(len(self.leases))
            ticket = self.leases.pop(at)
            self.queue.release(ticket)
            self.gone.append(ticket.item)

    def withdraw(self) -> None:
        if self.tickets:
            at = self.random.randrange(len(self.tickets))
            ticket = self.tickets.pop(at)
            if self.queue.withdraw(ticket):
                self.gone.append(ticket.item)

    def cancel(self) -> None:
        if self.tasks:
            self.random.choice(self.tasks).cancel()


@pytest.mark.parametrize("seed", range(40))
@virtual_time
async def test_no_item_is_lost_or_doubled(seed: int) -> None:
    """In a random life every item that entered comes out exactly once."""
    life = _Schedule(seed)
    await life.run(400)
    outcomes = await asyncio.gather(*life.tasks, return_exceptions=True)
    assert all(not isinstance(one, AssertionError) for one in outcomes)
    for number, task in life.offered.items():
        if not task.cancelled() and task.exception() is None:
            life.entered.add(number)
    left = [ticket.item for ticket in (*life.queue.drain(), *life.leases)]
    out = [*life.gone, *left]
    assert len(out) == len(set(out))
    cancelled = {n for n, task in life.offered.items() if task.cancelled()}
    # A put that was cancelled may have been taken just before.
    assert set(out) - cancelled == life.entered
