"""A bounded first-in-first-out queue for one event loop.

What it is: items with a size in requests, items and bytes, in the order they
came, and a limit on each size that is given.

Rules:

* Nothing is ever over a limit: `put_nowait` raises `Full`, `put` waits for its turn.
* An item leaves exactly once: taken by `get` (its room is free at once), leased (its
  room is free at `release`), or withdrawn by whoever put it in while it still waits.
* Whoever waits, to put or to get, is served in order; a waiter that is cancelled
  neither keeps an item nor swallows a wake-up.
* After `close` nothing comes in; what is inside can still be taken.

How it works: queued tickets stand in an ordered dict, so that one can be withdrawn
from the middle in constant time. A waiting putter has its item put in *for* it as soon
as room is free, so nobody can overtake it. A waiting getter is only woken, and looks
again.

It does not know what the items are, retries nothing and counts no metric.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from tailring_pipeline.errors import Closed, Empty, Full, TooLarge

__all__ = ["BoundedQueue", "QueueStatistics", "Ticket"]

T = TypeVar("T")


class Ticket(Generic[T]):
    """One item and its size, from the moment it is in the queue."""

    __slots__ = ("item", "items", "nbytes")

    def __init__(self, item: T, *, items: int, nbytes: int) -> None:
        self.item = item
        self.items = items
        self.nbytes = nbytes


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """A snapshot: what is held (queued and leased), and how much of it is queued."""

    requests: int
    items: int
    nbytes: int
    queued: int
    putters_waiting: int
    getters_waiting: int


class _Putter(Generic[T]):
    __slots__ = ("admitted", "ticket")

    def __init__(self, ticket: Ticket[T], admitted: asyncio.Future[bool]) -> None:
        self.ticket = ticket
        self.admitted = admitted


class BoundedQueue(Generic[T]):
    """See the module. A limit of None does not limit."""

    def __init__(
        self,
        *,
        requests_max: int | None = None,
        items_max: int | None = None,
        bytes_max: int | None = None,
    ) -> None:
        self._requests_max = requests_max
        self._items_max = items_max
        self._bytes_max = bytes_max
        self._queued: OrderedDict[Ticket[T], None] = OrderedDict()
        self._leased: set[Ticket[T]] = set()
        # Held = queued + leased; the limits are on what is held.
        self._items = 0
        self._nbytes = 0
        self._putters: deque[_Putter[T]] = deque()
        self._getters: deque[asyncio.Future[None]] = deque()
        self._closed = False

    def __len__(self) -> int:
        """How many items are queued (leased ones are not)."""
        return len(self._queued)

    @property
    def held(self) -> int:
        """How many items are queued or leased."""
        return len(self._queued) + len(self._leased)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def statistics(self) -> QueueStatistics:
        """What is in the queue now."""
        return QueueStatistics(
            requests=self.held,
            items=self._items,
            nbytes=self._nbytes,
            queued=len(self._queued),
            putters_waiting=len(self._putters),
            getters_waiting=len(self._getters),
        )

    def put_nowait(self, item: T, *, items: int, nbytes: int) -> Ticket[T]:
        """Append ``item``; keeps nothing when it raises `Full`, `TooLarge` or `Closed`.

        Raises `Full` too while others wait for room, because they came first.
        """
        ticket = self._new_ticket(item, items=items, nbytes=nbytes)
        if self._putters or not self._fits(ticket):
            raise Full
        self._append(ticket)
        return ticket

    async def put(self, item: T, *, items: int, nbytes: int) -> Ticket[T]:
        """Append ``item`` when there is room; raises `TooLarge`, or `Closed` meanwhile.

        Cancelled, it leaves nothing queued; what was already taken stays taken.
        """
        ticket = self._new_ticket(item, items=items, nbytes=nbytes)
        if not self._putters and self._fits(ticket):
            self._append(ticket)
            return ticket
        putter = _Putter(ticket, asyncio.get_running_loop().create_future())
        self._putters.append(putter)
        try:
            admitted = await putter.admitted
        except asyncio.CancelledError:
            self._forget(putter)
            raise
        if not admitted:
            raise Closed
        return ticket

    def get_nowait(self) -> T:
        """Take the oldest item; raises `Empty`, or `Closed` when none will come."""
        ticket = self.lease_nowait()
        self.release(ticket)
        return ticket.item

    async def get(self) -> T:
        """Take the oldest item, waiting for one; `Closed` when none will come."""
        ticket = await self.lease()
        self.release(ticket)
        return ticket.item

    def lease_nowait(self) -> Ticket[T]:
        """Take the oldest item, its room only at `release`; raises as `get_nowait`."""
        if not self._queued:
            raise Closed if self._closed else Empty
        ticket, _ = self._queued.popitem(last=False)
        self._leased.add(ticket)
        return ticket

    async def lease(self) -> Ticket[T]:
        """Like `lease_nowait`, waiting for one; `Closed` when none will come."""
        while not self._queued:
            if self._closed:
                raise Closed
            await self._wait_item()
        return self.lease_nowait()

    def release(self, ticket: Ticket[T]) -> None:
        """Give the room of a leased item back; once, or it is a programmer's error."""
        self._leased.remove(ticket)
        self._free(ticket)

    def withdraw(self, ticket: Ticket[T]) -> bool:
        """Take ``ticket`` out if it is still queued; False when it has been taken."""
        if ticket not in self._queued:
            return False
        del self._queued[ticket]
        self._free(ticket)
        return True

    def drain(self) -> list[Ticket[T]]:
        """Take out all that is queued; `close` first, or waiting putters follow."""
        tickets = list(self._queued)
        for ticket in tickets:
            self.withdraw(ticket)
        return tickets

    def close(self) -> None:
        """Take nothing more; those who wait for room, or for what never comes, wake."""
        self._closed = True
        while self._putters:
            putter = self._putters.popleft()
            if not putter.admitted.done():
                putter.admitted.set_result(False)
        while self._getters:
            self._wake_getter()

    def check_invariants(self) -> None:
        """Raise AssertionError unless sizes, limits and waiters agree."""
        held = [*self._queued, *self._leased]
        assert self._items == sum(ticket.items for ticket in held)
        assert self._nbytes == sum(ticket.nbytes for ticket in held)
        assert not self._queued.keys() & self._leased
        assert self._requests_max is None or len(held) <= self._requests_max
        assert self._items_max is None or self._items <= self._items_max
        assert self._bytes_max is None or self._nbytes <= self._bytes_max
        # The head of the line waits only because it does not fit (or was cancelled).
        head = self._putters[0] if self._putters else None
        assert head is None or head.admitted.done() or not self._fits(head.ticket)
        assert not (self._closed and (self._putters or self._getters))

    def _new_ticket(self, item: T, *, items: int, nbytes: int) -> Ticket[T]:
        if self._closed:
            raise Closed
        too_large = (
            _over(1, self._requests_max)
            or _over(items, self._items_max)
            or _over(nbytes, self._bytes_max)
        )
        if too_large:
            raise TooLarge
        return Ticket(item, items=items, nbytes=nbytes)

    def _fits(self, ticket: Ticket[T]) -> bool:
        return not (
            _over(self.held + 1, self._requests_max)
            or _over(self._items + ticket.items, self._items_max)
            or _over(self._nbytes + ticket.nbytes, self._bytes_max)
        )

    def _append(self, ticket: Ticket[T]) -> None:
        self._queued[ticket] = None
        self._items += ticket.items
        self._nbytes += ticket.nbytes
        self._wake_getter()

    def _free(self, ticket: Ticket[T]) -> None:
        self._items -= ticket.items
        self._nbytes -= ticket.nbytes
        self._admit()

    def _admit(self) -> None:
        while self._putters:
            putter = self._putters[0]
            # Cancelled, but its coroutine has not run since.
            gone = putter.admitted.done()
            if not gone and not self._fits(putter.ticket):
                return
            self._putters.popleft()
            if not gone:
                self._append(putter.ticket)
                putter.admitted.set_result(True)

    def _forget(self, putter: _Putter[T]) -> None:
        if putter in self._putters:
            self._putters.remove(putter)
            # It may have been the large one at the head that held up the others.
            self._admit()
            return
        self.withdraw(putter.ticket)

    async def _wait_item(self) -> None:
        woken = asyncio.get_running_loop().create_future()
        self._getters.append(woken)
        try:
            await woken
        except asyncio.CancelledError:
            if woken in self._getters:
                self._getters.remove(woken)
            elif self._queued:
                # Woken and cancelled at once: the item is for the next in line.
                self._wake_getter()
            raise

    def _wake_getter(self) -> None:
        while self._getters:
            woken = self._getters.popleft()
            if not woken.done():
                woken.set_result(None)
                return


def _over(size: int, size_max: int | None) -> bool:
    return size_max is not None and size > size_max
