"""What of a queue is on disk only: how far it was read, and how much is left to read.

A read that the disk does not let through is tried again after a while, from the same
place: nothing is passed over. It lives on the event loop and does not touch the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from tailring_pipeline.admission import Size
from tailring_pipeline.consumer import Batch
from tailring_pipeline.segment_reading import Chunk, Cursor
from tailring_pipeline.storage_metrics import StorageMetrics
from tailring_pipeline.store import Entry

__all__ = ["Backlog", "size_of"]

# After a read that failed; doubled with each that fails again.
_AGAIN_MIN_S: Final = 0.1
_AGAIN_MAX_S: Final = 30.0


class Backlog:
    """See the module. ``again`` is called when a read may be tried again."""

    def __init__(
        self, start: Cursor, *, metrics: StorageMetrics, again: Callable[[], None]
    ) -> None:
        # From here on all has to be read; only while ``behind``.
        self.cursor = start
        self.behind = False
        # What stands behind the cursor.
        self.size = Size()
        self._metrics = metrics
        self._again = again
        self._again_s = _AGAIN_MIN_S
        self._timer: asyncio.TimerHandle | None = None

    @property
    def rests(self) -> bool:
        """Whether a read failed a moment ago."""
        return self._timer is not None

    def found(self, size: Size) -> None:
        """So much was there at the start."""
        self.size = size
        self.behind = size.requests > 0

    def add(self, size: Size) -> None:
        """A record was written that is not kept in memory."""
        self.behind = True
        self.size = self.size.plus(size)

    def take(self, chunk: Chunk) -> tuple[list[Entry], Size]:
        """The entries that were read, and the size of what is damaged."""
        self._again_s = _AGAIN_MIN_S
        self._metrics.tell_damages(chunk.damages)
        self.cursor = chunk.cursor
        self.behind = not chunk.at_end
        entries = []
        for place, batch in chunk.records:
            entry = Entry(batch)
            entry.accepted = True
            entry.mark = place
            entries.append(entry)
            self.size = self.size.minus(size_of(batch))
        # Headers that are damaged do not say what is lost; the end of reading does.
        lost = self.size if chunk.at_end else Size(*chunk.lost)
        self.size = self.size.minus(lost)
        return entries, lost

    def failed(self, error: OSError) -> None:
        """A read failed; the next one has to wait."""
        loop = asyncio.get_running_loop()
        self._metrics.tell_read_failure(error, again_s=self._again_s)
        self._timer = loop.call_later(self._again_s, self._try_again)
        self._again_s = min(self._again_s * 2, _AGAIN_MAX_S)

    def stop(self) -> None:
        """Try nothing again."""
        if self._timer is not None:
            self._timer.cancel()

    def _try_again(self) -> None:
        self._timer = None
        self._again()


def size_of(batch: Batch) -> Size:
    """What one entry takes in the queue."""
    return Size(1, batch.items, len(batch.payload))
