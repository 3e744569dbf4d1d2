"""The tick that judges what is due, and what may befall it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog
from services.sampler.tests.processor_rig import Rig, loop_ns

from tailring_runtime import logs
from tailring_runtime.log_outputs import LOST_LINES
from tailring_runtime.metrics import Counter
from tailring_sampler.judge import Judge, NamedPolicy
from tailring_sampler.policies import AlwaysSample, Trace, Vote
from tailring_testkit.virtual_time import virtual_time


class WordlessError(Exception):
    """An error that cannot say what it is."""

    def __repr__(self) -> str:
        """Fails."""
        raise RuntimeError

    __str__ = __repr__


class Wordless:
    """A policy that fails, and whose error fails."""

    def evaluate(self, trace: Trace, now_ns: int) -> Vote:
        """Raise."""
        raise WordlessError


@pytest.fixture
def log_on_a_full_disk() -> Iterator[Counter]:
    """The count of lost lines, while the log is written to a disk without room."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    logs.configure(logs.LogSettings(outputs=("/dev/full",)))
    yield LOST_LINES
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def broken(error: BaseException) -> Callable[[], int]:
    """A clock that fails."""

    def read_ns() -> int:
        raise error

    return read_ns


@virtual_time
async def test_one_tick_gets_past_any_number_of_moved_deadlines() -> None:
    """A due trace behind thousands that were renewed leaves in the same tick."""
    rig = Rig(decision_wait_from="last")
    renewed = [(number, 0) for number in range(1, 5001)]
    await rig.send(*renewed, (9999, 0))
    await asyncio.sleep(1)
    await rig.send(*renewed)
    await asyncio.sleep(4)
    await rig.processor.tick()
    assert rig.processor.release.spans_taken == 1
    await rig.drain()


@pytest.mark.usefixtures("log_on_a_full_disk")
@virtual_time
async def test_ticks_that_go_on_failing_are_told() -> None:
    """After a second of failed ticks nothing is judged; a good tick ends that."""
    rig = Rig()
    assert not rig.processor.judging
    await rig.processor.start()
    await rig.send((1, 0))
    rig.clock_ns = broken(OSError("no clock"))
    await asyncio.sleep(0.95)
    assert rig.processor.judging
    await asyncio.sleep(0.1)
    assert not rig.processor.judging
    await asyncio.sleep(4)
    rig.clock_ns = loop_ns
    await asyncio.sleep(0.5)
    assert rig.processor.judging
    assert rig.sink.items == 1
    await rig.drain()
    assert not rig.processor.judging


@virtual_time
async def test_a_ticker_that_is_gone_is_told() -> None:
    """A ticker that ended, whatever ended it, judges nothing; a drain still does."""
    rig = Rig()
    await rig.processor.start()
    await rig.send((1, 0))
    rig.clock_ns = broken(asyncio.CancelledError())
    await asyncio.sleep(0.2)
    assert not rig.processor.judging
    rig.clock_ns = loop_ns
    await rig.drain()
    assert rig.sink.items == 1


@virtual_time
async def test_a_log_that_cannot_be_written_stops_no_decision(
    log_on_a_full_disk: Counter,
) -> None:
    """With a failing policy to tell of and a full disk, decisions go on being made."""
    lost = log_on_a_full_disk.value
    rig = Rig()
    policies = [NamedPolicy("bad", Wordless()), NamedPolicy("all", AlwaysSample())]
    rig.processor.sampler.judge = Judge(policies)
    await rig.processor.start()
    for number in range(3):
        await rig.send((number, 0))
        await asyncio.sleep(6)
        assert rig.sink.items == number + 1
    assert rig.processor.judging
    assert log_on_a_full_disk.value == lost + 3
    await rig.drain()
