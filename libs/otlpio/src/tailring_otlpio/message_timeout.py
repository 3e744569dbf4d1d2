"""Ends gRPC calls whose message does not arrive in time.

A call costs memory from its headers on. One look a second at the oldest one that waits
is enough for all of them, so a request pays for an entry in a dict, not for a timer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

__all__ = ["MessageTimeout"]

_LOOK_S: Final = 1.0

T = TypeVar("T")


class MessageTimeout:
    """Of one server, on the event loop that starts it; ``limit_s`` 0 is none."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        # In the order in which they began.
        self._began_s: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look."""
        if self._limit_s:
            self._look()

    def stop(self) -> None:
        """Look no more. Safe twice and unstarted."""
        if self._timer is not None:
            self._timer.cancel()

    async def read(self, message: Awaitable[T]) -> T:
        """The message of the call that runs in this task. Raises TimeoutError."""
        task = asyncio.current_task()
        assert task is not None, "a call runs in a task"
        self._began_s[task] = time.monotonic()
        try:
            return await message
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            task.uncancel()
            raise TimeoutError from None
        finally:
            del self._began_s[task]
            self._late.discard(task)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_LOOK_S, self._look)
        until_s = time.monotonic() - self._limit_s
        for task, began_s in self._began_s.items():
            if began_s > until_s:
                break
            if task not in self._late:
                self._late.add(task)
                task.cancel()
