"""When a delivery that lasts is taken back, so that it does not stand in the way.

A delivery that goes to several places can be done with all but one. What is left of it
is taken back once, after ``after_s``: it is written down as what is left, so that after
a crash the others do not get it again. And it is taken back whenever the memory is full
of such deliveries while others wait on disk: those that wait have their turn first.
"""

from __future__ import annotations

import asyncio

from tailring_pipeline.consumer import Batch, Refused
from tailring_pipeline.store import Entry, Store

__all__ = ["Parking"]

# Deliveries that were taken back once have so many times longer, when it is crowded.
PATIENCE = 5


class Parking:
    """Takes deliveries from ``store`` back after ``after_s``; on one event loop."""

    def __init__(self, store: Store, *, after_s: float) -> None:
        self._store = store
        self._after_s = after_s

    def asker(self, entry: Entry) -> asyncio.Future[None]:
        """What is done when the delivery of ``entry`` is to be taken back; whoever asks
        cancels it when the delivery has ended."""
        asker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._look_later(entry, asker)
        return asker

    def _look_later(self, entry: Entry, asker: asyncio.Future[None]) -> None:
        delay_s = self._after_s * (PATIENCE if entry.parked else 1)
        loop = asyncio.get_running_loop()
        timer = loop.call_later(delay_s, self._look, entry, asker)
        asker.add_done_callback(lambda _: timer.cancel())

    def _look(self, entry: Entry, asker: asyncio.Future[None]) -> None:
        if asker.done():
            return
        if not entry.parked or self._store.crowded:
            asker.set_result(None)
        else:
            self._look_later(entry, asker)

    def park(self, entry: Entry, refused: Refused) -> int:
        """Let what is left of ``entry`` wait; the items of it that were delivered."""
        left = refused.remaining
        if left is None or not left.payload:
            left = entry.batch  # nobody knows which part it is: all of it
        delivered = entry.batch.items - left.items
        if delivered or self._store.crowded:
            self._store.keep(entry, Batch(left.payload, left.items, entry.batch.signal))
        else:
            self._store.put_back(entry)
        return delivered
