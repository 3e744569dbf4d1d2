"""Ends gRPC calls whose message does not come in time, or of which there are too many.

A call costs memory from its headers on, and what has come of its message is in no other
limit before it is complete. So once the process has become larger than all limits let
it be, only so many of the calls that wait may stay as their largest messages would have
room for; the oldest leave first. Small requests are not among those that wait: two
looks have to see a call, however many come at once or however busy the process is.

One look a second at those that wait is enough, so a request pays for an entry in a
dict, not for a timer. Within that second what comes in is bounded by the network alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import takewhile
from typing import Any, Final, TypeVar

from tailring_pipeline import Refused

__all__ = ["MessageTimeout"]

_LOOK_S: Final = 1.0
# So many may always wait.
_WAITING_MIN: Final = 64

T = TypeVar("T")


class MessageTimeout:
    """Of one server, on the event loop that starts it; ``limit_s`` 0 is none.

    ``room`` says for how many messages there is room now.
    """

    def __init__(self, limit_s: float, *, room: Callable[[], float]) -> None:
        self._limit_s = limit_s
        self._room = room
        # In the order in which they began.
        self._began_s: dict[asyncio.Task[Any], float] = {}
        self._ended: dict[asyncio.Task[Any], Exception] = {}
        # At the look before.
        self._seen: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look."""
        self._look()

    def stop(self) -> None:
        """Look no more. Safe twice and unstarted."""
        if self._timer is not None:
            self._timer.cancel()

    async def read(self, message: Awaitable[T]) -> T:
        """The message of the call that runs in this task.

        Raises TimeoutError, or `Refused` when too many wait.
        """
        task = asyncio.current_task()
        assert task is not None, "a call runs in a task"
        self._began_s[task] = time.monotonic()
        try:
            return await message
        except asyncio.CancelledError:
            if task not in self._ended:
                raise
            task.uncancel()
            raise self._ended[task] from None
        finally:
            del self._began_s[task]
            self._ended.pop(task, None)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_LOOK_S, self._look)
        if self._limit_s:
            until_s = time.monotonic() - self._limit_s
            began = takewhile(lambda one: one[1] <= until_s, self._began_s.items())
            for task in [task for task, _ in began]:
                self._end(task, TimeoutError())
        waiting = [task for task in self._began_s if task in self._seen]
        self._seen = set(self._began_s)
        if len(waiting) > _WAITING_MIN:
            surplus = len(waiting) - max(self._room(), _WAITING_MIN)
            for task in waiting[: int(max(0, surplus))]:
                self._end(task, Refused("overloaded", "too many unfinished requests"))

    def _end(self, task: asyncio.Task[Any], error: Exception) -> None:
        if task not in self._ended:
            self._ended[task] = error
            task.cancel()
