"""Background tasks whose failure is never lost.

A `TaskSet` belongs to one stage. A task that ends with an exception is logged and
counted at once; the others go on, because one backend's failure is not another's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from tailring_runtime.logs import get_logger
from tailring_runtime.metrics import Counter, Metrics, MetricSpec

__all__ = ["TASK_FAILURES", "TaskSet"]

TASK_FAILURES = MetricSpec(
    "tailring_task_failures",
    "counter",
    "Background tasks that ended with an exception; any growth is a bug to report.",
    labels=("owner",),
)

T = TypeVar("T")


class TaskSet:
    """The background tasks of one owner, on one event loop."""

    def __init__(self, owner: str, *, metrics: Metrics | None = None) -> None:
        self._log = get_logger(owner=owner)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._failures = (
            metrics.counter(TASK_FAILURES, owner=owner) if metrics else Counter()
        )

    @property
    def failures(self) -> int:
        """How many tasks ended with an exception."""
        return self._failures.value

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, coro: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Run ``coro`` until it ends or the set is closed. Raises after `close`."""
        if self._closed:
            coro.close()
            raise RuntimeError(f"task {name} was spawned on a closed set")
        task = asyncio.get_running_loop().create_task(coro, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def join(self) -> None:
        """Wait until no task is left; never raises what a task raised."""
        while self._others():
            await asyncio.wait(self._others())

    async def close(self) -> None:
        """Cancel every task and wait for its end. Safe twice."""
        self._closed = True
        for task in self._others():
            task.cancel()
        await self.join()

    def _others(self) -> set[asyncio.Task[Any]]:
        # A task may close its own set; it must not wait for itself.
        return self._tasks - {asyncio.current_task()}

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._failures.add()
            self._log.error("task failed", task=task.get_name(), exc_info=error)
