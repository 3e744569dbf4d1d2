"""Shows how long code held up the event loop, on a busy machine too.

What counts is the processor time of the loop's own thread between two beats, not what a
clock on the wall says: other processes do not make it longer. A beat is a millisecond,
so what is shown is at most that much more than the longest hold-up.

The objects that are there when it begins are hidden from Python's garbage collector, as
a service hides its own at start: else it would walk those of a whole session of tests.
"""

from __future__ import annotations

import asyncio
import gc
import time
from types import TracebackType
from typing import Final, Self

from tailring_runtime.tasks import TaskSet

__all__ = ["Heartbeat"]

_BEAT_S: Final = 0.001


class Heartbeat:
    """An async context manager that beats from its begin to its end."""

    def __init__(self) -> None:
        self.longest_ms = 0.0
        self._tasks = TaskSet("heartbeat")

    async def __aenter__(self) -> Self:
        gc.collect()
        gc.freeze()
        self._tasks.spawn(self._beat(), name="heartbeat")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._tasks.close()
        gc.unfreeze()

    async def _beat(self) -> None:
        while True:
            began_s = time.thread_time()
            await asyncio.sleep(_BEAT_S)
            held_ms = (time.thread_time() - began_s) * 1e3
            self.longest_ms = max(self.longest_ms, held_ms)
