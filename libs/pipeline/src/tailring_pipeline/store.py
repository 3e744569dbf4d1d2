"""What a `SendingQueue` holds its batches in: in memory, or on disk (`DiskStore`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tailring_pipeline.consumer import Batch
from tailring_pipeline.outcome import Outcome
from tailring_pipeline.queue import BoundedQueue, Ticket
from tailring_pipeline.queue_config import QueueConfig

__all__ = ["Entry", "MemoryStore", "Room", "Store"]


class Entry:
    """One batch in the queue; who waits for it, unless it was acknowledged early."""

    __slots__ = ("accepted", "answer", "batch", "mark", "parked")

    def __init__(
        self, batch: Batch, answer: asyncio.Future[Outcome] | None = None
    ) -> None:
        self.batch = batch
        self.answer = answer
        self.accepted = False
        # It was taken back from a delivery that lasted too long.
        self.parked = False
        # The store's own.
        self.mark: object = None


@dataclass(frozen=True, slots=True)
class Room:
    """The bounds of a queue; None does not limit."""

    requests_max: int | None = None
    items_max: int | None = None
    bytes_max: int | None = None

    @classmethod
    def of(cls, config: QueueConfig) -> Room:
        """``queue_size`` in the unit of ``sizer``."""
        if not config.enabled:
            return cls()
        match config.sizer:
            case "requests":
                return cls(requests_max=config.queue_size)
            case "items":
                return cls(items_max=config.queue_size)
            case "bytes":
                return cls(bytes_max=config.queue_size)


class Store(Protocol):
    """Entries in order. One that was leased leaves by `release`, or by `keep`."""

    @property
    def survives(self) -> bool:
        """Whether what it holds is still there after the process."""

    @property
    def park_s(self) -> float | None:
        """When a delivery that lasts is taken back, if what is behind knows on whose
        behalf it acts; None: never."""

    @property
    def held(self) -> tuple[int, int, int]:
        """Requests, items and bytes that are held, queued or leased."""

    @property
    def waiting(self) -> bool:
        """Whether anything is queued, if it can be leased yet or not."""

    @property
    def ready(self) -> int:
        """How many entries can be leased now."""

    def follow(self, ready: Callable[[], None], lost: Callable[[int], None]) -> None:
        """Call ``ready`` whenever another entry can be leased, and ``lost`` with the
        items that can never be: what they were kept in is damaged."""

    async def start(self) -> int:
        """Get ready for the first `put`; the items that were there already."""

    async def put(self, entry: Entry, *, waits: bool) -> None:
        """Append an entry; when this returns it is held. Raises `QueueError`.

        Cancelled, it leaves nothing queued; what was already leased stays that.
        """

    def lease_nowait(self) -> Entry:
        """The oldest entry; only while there is one (`ready`)."""

    def release(self, entry: Entry) -> None:
        """A leased entry is done with."""

    def keep(self, entry: Entry, remaining: Batch | None) -> None:
        """A leased entry was not delivered, or not but for ``remaining``: it is queued
        again at the back. Only of a store that survives."""

    def put_back(self, entry: Entry) -> None:
        """A leased entry was not delivered: it is the last to be leased again."""

    @property
    def crowded(self) -> bool:
        """Whether entries cannot be leased for want of memory."""

    def withdraw(self, entry: Entry) -> bool:
        """Take an entry out if it was not leased; False when it was."""

    def drain(self) -> list[Entry]:
        """Take out all that is queued and does not survive."""

    def close(self) -> None:
        """Take nothing more; those who wait for room are turned away."""

    async def stop(self) -> None:
        """Hold nothing any more that has to be released. Safe twice and unstarted."""

    def check_invariants(self) -> None:
        """Raise AssertionError unless sizes and limits agree."""


class MemoryStore:
    """A `Store` that ends with the process."""

    survives = False
    crowded = False
    park_s = None

    def __init__(self, room: Room) -> None:
        self._queue: BoundedQueue[Entry] = BoundedQueue(
            requests_max=room.requests_max,
            items_max=room.items_max,
            bytes_max=room.bytes_max,
        )
        self._ready: Callable[[], None] = _nobody

    @property
    def ready(self) -> int:
        """How many entries can be leased now."""
        return len(self._queue)

    @property
    def held(self) -> tuple[int, int, int]:
        """Requests, items and bytes."""
        held = self._queue.statistics()
        return held.requests, held.items, held.nbytes

    @property
    def waiting(self) -> bool:
        """Whether anything is queued."""
        return len(self._queue) > 0

    def follow(self, ready: Callable[[], None], lost: Callable[[int], None]) -> None:  # noqa: ARG002 - memory loses nothing
        """Call ``ready`` whenever another entry can be leased."""
        self._ready = ready

    async def start(self) -> int:
        """Nothing is there."""
        return 0

    async def put(self, entry: Entry, *, waits: bool) -> None:
        """Append an entry; see `Store`."""
        sizes = {"items": entry.batch.items, "nbytes": len(entry.batch.payload)}
        if waits:
            entry.mark = await self._queue.put(entry, **sizes)
        else:
            entry.mark = self._queue.put_nowait(entry, **sizes)
        self._ready()

    def lease_nowait(self) -> Entry:
        """The oldest entry."""
        ticket = self._queue.lease_nowait()
        ticket.item.mark = ticket
        return ticket.item

    def release(self, entry: Entry) -> None:
        """A leased entry is done with."""
        self._queue.release(_ticket(entry))

    def keep(self, entry: Entry, remaining: Batch | None) -> None:
        """Nothing can be kept in memory."""
        raise AssertionError(f"{entry} does not survive, nor does {remaining}")

    def put_back(self, entry: Entry) -> None:
        """Nothing needs it."""
        raise AssertionError(f"{entry} is not taken back from its delivery")

    def withdraw(self, entry: Entry) -> bool:
        """Take an entry out if it was not leased."""
        return self._queue.withdraw(_ticket(entry))

    def drain(self) -> list[Entry]:
        """Take out all that is queued."""
        return [ticket.item for ticket in self._queue.drain()]

    def close(self) -> None:
        """Take nothing more."""
        self._queue.close()

    async def stop(self) -> None:
        """There is nothing to release."""

    def check_invariants(self) -> None:
        """Raise AssertionError unless sizes and limits agree."""
        self._queue.check_invariants()


def _ticket(entry: Entry) -> Ticket[Entry]:
    assert isinstance(entry.mark, Ticket)
    return entry.mark


def _nobody() -> None:
    """Who follows a store before anybody does."""
