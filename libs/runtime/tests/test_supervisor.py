"""What a supervisor does with its workers, over workers that are played."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tailring_runtime.config import CollectorConfig
from tailring_runtime.config.collector import ServiceConfig
from tailring_runtime.crew import Child
from tailring_runtime.plan import Origin, Plan
from tailring_runtime.settings import Settings
from tailring_runtime.supervisor import Supervisor

_PLAN = Plan(CollectorConfig(service=ServiceConfig(pipelines={})), (), (), b"plan")
_WAIT_S = 10.0


class _Worker:
    """Runs until it is told to end, or dies."""

    pid = 4711
    ran_s = 1.0
    ready = True
    stays = True

    def __init__(self, *, code: int = 0, runs: bool = True) -> None:
        self._code = code
        self.was_running = runs
        self.payload = b""
        self.families: list[Any] = []
        self.tasks: list[object] = []
        self.signals: list[signal.Signals] = []
        self._over = asyncio.Event()

    def give(self, task: object) -> None:
        """Its task."""
        self.tasks.append(task)

    def send_signal(self, number: signal.Signals) -> None:
        """The end."""
        self.signals.append(number)
        self._over.set()

    def die(self, code: int) -> None:
        """End by itself."""
        self._code = code
        self._over.set()

    async def listen(self) -> None:
        """Until the end."""
        await self._over.wait()

    async def wait(self) -> int:
        """Its exit code."""
        return self._code


Start = Callable[[int], Coroutine[Any, Any, _Worker]]


class _Host:
    """Where workers are started; ``start`` is told how many were before."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self.workers: list[_Worker] = []
        self.asked = 0

    async def start(self, _module: str, _name: str) -> _Worker:
        """One more worker."""
        self.asked += 1
        worker = await self._start(self.asked - 1)
        self.workers.append(worker)
        return worker

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for what the supervisor does."""
        async with asyncio.timeout(_WAIT_S):
            while not true():  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)


async def _good(_number: int) -> _Worker:
    return _Worker()


@asynccontextmanager
async def _supervised(
    monkeypatch: pytest.MonkeyPatch, start: Start = _good
) -> AsyncIterator[tuple[_Host, Supervisor, asyncio.Task[int]]]:
    """A supervisor of two workers at work."""
    host = _Host(start)
    monkeypatch.setattr(Child, "start", host.start)
    settings = Settings(
        workers=2, metrics_endpoint="", health_endpoint="", drain_timeout_s=1
    )
    one = Supervisor(
        _PLAN, settings, origin=Origin(()), service="tailring-runtime", module="none"
    )
    async with asyncio.timeout(_WAIT_S), asyncio.TaskGroup() as group:
        run = group.create_task(one.run())
        yield host, one, run


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def _is_ready(one: Supervisor) -> Callable[[], bool]:
    return lambda: one.telemetry.health.ready


async def test_each_place_gets_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every worker has its task once, and each is told to stop once."""
    async with _supervised(monkeypatch) as (host, one, run):
        await host.until(_is_ready(one))
        _stop()
        assert await run == 0
    assert [len(worker.tasks) for worker in host.workers] == [1, 1]
    assert [worker.payload for worker in host.workers] == [b"plan"] * 2
    assert [worker.signals for worker in host.workers] == [[signal.SIGTERM]] * 2


async def test_a_worker_that_is_being_made_at_the_stop_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stop between the start of a process and its place reaches it as well."""
    made = asyncio.Event()

    async def slow(_number: int) -> _Worker:
        """A fork takes its time."""
        await made.wait()
        return _Worker()

    async with _supervised(monkeypatch, slow) as (host, _one, run):
        await host.until(lambda: host.asked == 2)
        _stop()
        await asyncio.sleep(0.1)  # it is taken between two turns of the loop
        made.set()
        assert await run == 0
    assert [worker.signals for worker in host.workers] == [[signal.SIGTERM]] * 2


async def _no_third(number: int) -> _Worker:
    """The third process cannot be made."""
    if number == 2:
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return _Worker()


async def test_a_process_that_cannot_be_made_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other worker goes on, and the place has a worker as soon as it can."""
    async with _supervised(monkeypatch, _no_third) as (host, one, run):
        await host.until(_is_ready(one))
        host.workers[0].die(1)
        await host.until(lambda: len(host.workers) == 3)
        _stop()
        assert await run == 0
    assert host.asked == 4
    assert host.workers[1].signals == [signal.SIGTERM]


async def test_a_first_process_that_cannot_be_made_is_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before all have run it is a failure of the start, without a traceback."""

    async def start(_number: int) -> _Worker:
        """None can be made."""
        raise BlockingIOError(11, "Resource temporarily unavailable")

    async with _supervised(monkeypatch, start) as (_host, _one, run):
        assert await run == 1


@pytest.mark.parametrize(("runs", "code"), [(False, 0), (True, 1)])
async def test_a_stop_before_a_worker_takes_signals_is_clean(
    *, runs: bool, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed by our SIGTERM it counts as a failure only when it had served."""

    async def start(_number: int) -> _Worker:
        """It does not handle the signal."""
        return _Worker(code=-signal.SIGTERM, runs=runs)

    async with _supervised(monkeypatch, start) as (host, _one, run):
        await host.until(lambda: len(host.workers) == 2)
        _stop()
        assert await run == code


async def test_a_reload_that_cannot_be_read_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When no process can be made for it, it is counted and the workers go on."""
    async with _supervised(monkeypatch, _no_third) as (host, one, run):
        await host.until(_is_ready(one))
        await asyncio.sleep(0.1)  # until it waits for a reason
        os.kill(os.getpid(), signal.SIGHUP)
        metrics = one.telemetry.metrics
        await host.until(
            lambda: metrics.value("tailring_config_reloads", result="refused") == 1
        )
        assert [worker.signals for worker in host.workers] == [[], []]
        _stop()
        assert await run == 0
