"""What every stage keeps, as tests that run over each of them.

Subclass `StageContract` in a test module under a name that begins with ``Test`` and
give it a ``subject`` fixture; a stage that takes batches and passes them on takes
`ConsumingContract`, which proves that a drain loses nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import pytest

from tailring_pipeline import Batch, Consumer, Refused, Rejected, Stage
from tailring_testkit.otlp import realistic_request

__all__ = ["ConsumingContract", "StageContract", "StageSubject"]

# A stage with nothing to do must not make the others wait.
AT_ONCE_S = 1.0
LONG_S = 30.0
ITEMS = 8


class _ConsumingStage(Stage, Consumer, Protocol):
    """A stage that takes batches."""


@dataclass(slots=True)
class StageSubject:
    """A consuming stage that was not started, and what came out at its far end.

    ``delivered`` says how many items have left it in the regular way so far.
    """

    stage: _ConsumingStage
    delivered: Callable[[], int]


class StageContract:
    """Facts about every stage; ``subject`` is a `Stage` that was not started."""

    @pytest.fixture
    def stage(self, subject: Stage) -> Stage:
        """The stage under test."""
        return subject

    async def test_close_is_safe_unstarted_and_twice(self, stage: Stage) -> None:
        """Closing raises nothing before a start nor after a close."""
        stage.close()
        stage.close()
        await stage.terminate()

    async def test_terminate_is_safe_unstarted_and_twice(self, stage: Stage) -> None:
        """Terminating raises nothing before a start nor after a terminate."""
        await stage.terminate()
        await stage.terminate()

    async def test_join_is_safe_unstarted(self, stage: Stage) -> None:
        """Joining a stage that never started returns at once."""
        stage.close()
        async with asyncio.timeout(AT_ONCE_S):
            await stage.join(LONG_S)
        await stage.terminate()

    async def test_an_empty_stage_drains_at_once(self, stage: Stage) -> None:
        """A stage that holds nothing does not use up the time of its join."""
        await stage.start()
        stage.close()
        async with asyncio.timeout(AT_ONCE_S):
            await stage.join(LONG_S)
        await stage.terminate()

    async def test_a_drain_in_order_twice_is_safe(self, stage: Stage) -> None:
        """Close, join and terminate may each be called again after a whole drain."""
        await stage.start()
        for _ in range(2):
            stage.close()
            await stage.join(0)
            await stage.terminate()

    async def test_terminate_without_close_is_safe(self, stage: Stage) -> None:
        """A stage that works can be abandoned without close and join."""
        await stage.start()
        async with asyncio.timeout(LONG_S):
            await stage.terminate()

    async def test_no_task_outlives_terminate(self, stage: Stage) -> None:
        """After terminate the event loop runs no task that the stage began."""
        async with _no_new_tasks():
            await stage.start()
            await asyncio.sleep(0)
            stage.close()
            await stage.join(AT_ONCE_S)
            await stage.terminate()


class ConsumingContract(StageContract):
    """Facts about every stage that takes batches; ``subject`` is a `StageSubject`."""

    @pytest.fixture
    def stage(self, subject: StageSubject) -> Stage:
        """The stage under test."""
        return subject.stage

    async def test_a_closed_stage_refuses(self, subject: StageSubject) -> None:
        """After close a batch is refused, so that the sender tries elsewhere."""
        await subject.stage.start()
        subject.stage.close()
        with pytest.raises(Refused):
            await subject.stage.consume(_batch())
        await subject.stage.terminate()

    async def test_a_drain_delivers_what_is_held(self, subject: StageSubject) -> None:
        """What was taken before close has left the stage when join returns."""
        await subject.stage.start()
        answers = [
            asyncio.get_running_loop().create_task(_answer(subject.stage))
            for _ in range(3)
        ]
        await _settled()
        subject.stage.close()
        await subject.stage.join(LONG_S)
        await subject.stage.terminate()
        assert await asyncio.gather(*answers) == [True] * 3
        assert subject.delivered() == 3 * ITEMS

    async def test_terminate_answers_every_caller(self, subject: StageSubject) -> None:
        """A caller that still waits when the stage is abandoned gets an answer."""
        async with _no_new_tasks():
            await subject.stage.start()
            answers = [
                asyncio.get_running_loop().create_task(_answer(subject.stage))
                for _ in range(3)
            ]
            await _settled()
            await subject.stage.terminate()
            async with asyncio.timeout(AT_ONCE_S):
                await asyncio.gather(*answers)

    async def test_a_terminated_stage_calls_nobody(self, subject: StageSubject) -> None:
        """After terminate nothing is delivered any more."""
        await subject.stage.start()
        await subject.stage.terminate()
        before = subject.delivered()
        with pytest.raises(Refused):
            await subject.stage.consume(_batch())
        await _settled()
        assert subject.delivered() == before


def _batch() -> Batch:
    return Batch(realistic_request(ITEMS, seed=1), ITEMS)


async def _answer(stage: Consumer) -> bool:
    """Whether the stage took a batch; False when it refused or rejected it."""
    try:
        await stage.consume(_batch())
    except (Refused, Rejected):
        return False
    return True


async def _settled() -> None:
    # Let what was begun reach its first real wait.
    for _ in range(10):
        await asyncio.sleep(0)


@asynccontextmanager
async def _no_new_tasks() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    await _settled()
    left = {task.get_name() for task in asyncio.all_tasks() - before}
    assert not left, f"tasks outlived their stage: {left}"
