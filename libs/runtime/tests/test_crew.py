"""One child of a supervisor, its process and its channel played."""

from __future__ import annotations

import asyncio
import signal
from typing import Any, cast

import pytest

from tailring_runtime.channel import Channel
from tailring_runtime.crew import FIRST_BEAT_MAX_S, SILENT_MAX_S, Child
from tailring_runtime.feed import Report
from tailring_runtime.health import State
from tailring_testkit.virtual_time import virtual_time

_BEAT = Report(State.RUNNING, ready=True, unmet=())


class _Process:
    """A process that ignores signals."""

    pid = 4711
    returncode: int | None = None

    def __init__(self) -> None:
        self.signals: list[signal.Signals] = []

    def send_signal(self, number: signal.Signals) -> None:
        """Note it."""
        self.signals.append(number)


class _Channel:
    """Brings what it is given, one message a second; then nothing, or the end."""

    def __init__(self, *messages: Report, ends: bool = False) -> None:
        self._messages = list(messages)
        self._ends = ends
        self.sent: list[object] = []

    async def receive(self) -> Any:
        """The next one."""
        await asyncio.sleep(1)
        if self._messages:
            return self._messages.pop(0)
        if self._ends:
            raise EOFError
        return await asyncio.Event().wait()

    def send(self, message: object) -> None:
        """Note it."""
        self.sent.append(message)


def _child(channel: _Channel) -> tuple[Child, _Process]:
    process = _Process()
    made = Child(cast("asyncio.subprocess.Process", process), cast("Channel", channel))
    return made, process


@pytest.mark.parametrize(
    ("messages", "limit_s"),
    [((), FIRST_BEAT_MAX_S), ((_BEAT,), 1 + SILENT_MAX_S)],
)
@virtual_time
async def test_silence_has_a_limit(
    messages: tuple[Report, ...], limit_s: float
) -> None:
    """Before the first beat it is longer than after it, and then it is over."""
    child, _ = _child(_Channel(*messages))
    began_s = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError):
        await child.listen()
    assert asyncio.get_running_loop().time() - began_s == pytest.approx(limit_s)
    assert not child.stays


@virtual_time
async def test_who_waits_for_a_dead_child_is_told() -> None:
    """A question without an answer ends with the child, and so does each later one."""
    child, _ = _child(_Channel(_BEAT, ends=True))
    async with asyncio.TaskGroup() as group:
        group.create_task(child.listen())
        await child.wait_running()
        with pytest.raises(EOFError):
            await child.ask("metrics", timeout_s=100)
    with pytest.raises(EOFError):
        await child.ask("metrics", timeout_s=100)
    with pytest.raises(EOFError):
        await child.wait_running()


@virtual_time
async def test_a_child_that_does_not_end_is_killed() -> None:
    """Told to end it does not stay, and the kill comes after its time."""
    child, process = _child(_Channel())
    child.end(grace_s=30)
    assert not child.stays
    await asyncio.sleep(29)
    assert process.signals == [signal.SIGTERM]
    await asyncio.sleep(2)
    assert process.signals == [signal.SIGTERM, signal.SIGKILL]
