"""Task sets: failures are seen, and nothing outlives a close."""

from __future__ import annotations

import asyncio

import pytest
import structlog.testing

from tailring_runtime.metrics import Metrics
from tailring_runtime.tasks import TASK_FAILURES, TaskSet


async def fail() -> None:
    raise ValueError("on purpose")


async def test_a_failure_is_counted_and_logged() -> None:
    """A task that raises is counted under its owner and logged with its name."""
    metrics = Metrics()
    tasks = TaskSet("queue", metrics=metrics)
    with structlog.testing.capture_logs() as lines:
        tasks.spawn(fail(), name="worker")
        await tasks.join()
        await asyncio.sleep(0)
    assert tasks.failures == 1
    assert metrics.value(TASK_FAILURES.name, owner="queue") == 1
    assert [(line["event"], line["task"]) for line in lines] == [
        ("task failed", "worker")
    ]


async def test_a_failure_leaves_the_others_alone() -> None:
    """One task's failure cancels no other task of the set."""
    tasks = TaskSet("queue")
    event = asyncio.Event()
    with structlog.testing.capture_logs():
        tasks.spawn(fail(), name="bad")
        good = tasks.spawn(event.wait(), name="good")
        await asyncio.sleep(0.01)
        event.set()
        assert await good is True
    await tasks.close()


async def test_close_cancels_and_waits() -> None:
    """After close no task of the set runs, and cancelled ones are no failures."""
    tasks = TaskSet("queue")
    ended = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    tasks.spawn(work(), name="a")
    tasks.spawn(work(), name="b")
    await asyncio.sleep(0)
    assert len(tasks) == 2
    await tasks.close()
    await tasks.close()
    assert ended == [True, True]
    assert len(tasks) == 0
    assert tasks.failures == 0


async def test_spawn_after_close_is_refused() -> None:
    """A closed set takes no task, and the coroutine is not left unawaited."""
    tasks = TaskSet("queue")
    await tasks.close()
    with pytest.raises(RuntimeError, match="closed set"):
        tasks.spawn(fail(), name="late")


async def test_a_task_may_close_its_own_set() -> None:
    """A task that closes its set does not wait for or cancel itself."""
    tasks = TaskSet("queue")
    other = tasks.spawn(asyncio.sleep(60), name="other")

    async def closer() -> str:
        await tasks.close()
        return "done"

    assert await tasks.spawn(closer(), name="closer") == "done"
    assert other.cancelled()


async def test_result_is_kept() -> None:
    """The task that spawn returns can be awaited for its result."""
    tasks = TaskSet("queue")

    async def answer() -> int:
        return 42

    assert await tasks.spawn(answer(), name="x") == 42
    await tasks.close()
