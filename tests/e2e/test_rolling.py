"""Routers that are restarted, and workers that die, behind clients that try again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tailring_testkit import ports, services
from tailring_testkit.numbered import Load, Tally, TallySink
from tailring_testkit.pressure import Pressed, Pressure
from tailring_testkit.process import Child, http_ok, wait_until
from tailring_testkit.services import Service

_SPANS_PER_S = 5_000
_WORKERS = "TAILRING_WORKERS"
_ACCEPTED = "otelcol_receiver_accepted_spans_total"


@asynccontextmanager
async def _sinks(load: Load, count: int) -> AsyncIterator[tuple[Tally, list[str]]]:
    """Backends with one tally, and where they are."""
    tally = Tally(load)
    numbers = ports.free_ports(count)
    async with asyncio.TaskGroup() as group:
        sinks = [TallySink(tally, number) for number in numbers]
        for sink in sinks:
            await sink.__aenter__()
        try:
            yield tally, [f"127.0.0.1:{number}" for number in numbers]
        finally:
            for sink in sinks:
                group.create_task(sink.__aexit__())


@contextmanager
def _router(folder: Path, targets: list[str]) -> Iterator[Service]:
    with services.router(folder, {"static": {"hostnames": targets}}) as router:
        yield router


async def _press(
    targets: list[str], load: Load, meanwhile: Callable[[], Awaitable[Any]]
) -> Pressed:
    """Send the load while something happens."""
    pressure = Pressure(targets, spans_per_s=_SPANS_PER_S)
    async with asyncio.TaskGroup() as group:
        pressing = group.create_task(pressure.run(load))
        await asyncio.sleep(1.0)
        await meanwhile()
        return await pressing


def _restart(router: Service, child: Child, *, log: Path) -> Child:
    """SIGTERM, wait for a clean end, start it again with the same file."""
    child.send(signal.SIGTERM)
    assert child.wait() == 0, child.log()
    again = Child(child.command, log=log)
    again.wait_ready(http_ok(f"http://127.0.0.1:{router.health_port}/readyz"))
    return again


async def test_a_rolling_restart_of_two_routers_loses_nothing(tmp_path: Path) -> None:
    """A client with retries over two routers that are restarted one after the other,
    twice round: every span arrives exactly once, and each stop is clean."""
    load = Load(40_000, seed=5, traces_per_request=25)
    async with _sinks(load, 3) as (tally, backends):
        with _router(tmp_path, backends) as one, _router(tmp_path, backends) as two:
            started: list[Child] = []

            async def roll() -> None:
                """One router after the other, and once more."""
                present = [one.child, two.child]
                for turn in range(2):
                    for place, router in enumerate((one, two)):
                        log = tmp_path / f"again-{place}-{turn}.log"
                        present[place] = await asyncio.to_thread(
                            _restart, router, present[place], log=log
                        )
                started.extend(present)

            pressed = await _press([one.target, two.target], load, roll)
            codes = [await asyncio.to_thread(child.stop) for child in started]
    assert tally.exact(), f"{tally} {pressed}"
    assert codes == [0, 0]
    assert pressed.rejected == pressed.given_up == 0


def _workers(router: Service) -> list[int]:
    """The process ids of the workers that live."""
    children = Path(f"/proc/{router.child.pid}/task/{router.child.pid}/children")
    return [int(pid) for pid in children.read_text().split()]


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_a_worker_that_is_killed_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL of each of two workers under load: with clients that retry no span is
    lost, the sums of the metrics never fall, and there are two workers again."""
    monkeypatch.setenv(_WORKERS, "2")
    load = Load(40_000, seed=6, traces_per_request=25)
    accepted: list[float] = []
    async with _sinks(load, 3) as (tally, backends):
        with _router(tmp_path, backends) as router:

            def kill(pid: int) -> None:
                """Kill one and wait for the next."""
                accepted.append(router.metrics().total(_ACCEPTED))
                os.kill(pid, signal.SIGKILL)
                wait_until(lambda: pid not in _workers(router), "its end")
                accepted.append(router.metrics().total(_ACCEPTED))
                wait_until(
                    lambda: router.metrics().total("tailring_workers") == 2,
                    "two workers",
                )

            async def kill_all() -> None:
                """One worker after the other."""
                for pid in _workers(router):
                    await asyncio.to_thread(kill, pid)

            pressed = await _press([router.target] * 8, load, kill_all)
            page = router.metrics()
            accepted.append(page.total(_ACCEPTED))
            code = await asyncio.to_thread(router.child.stop)
    assert tally.missing == 0, f"{tally} {pressed}"
    assert tally.strangers == tally.misplaced == 0
    assert page.total("tailring_worker_restarts_total") == 2
    assert accepted == sorted(accepted)
    assert code == 0


async def test_workers_share_the_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both workers take part of a load over many connections, and one page has the sum
    of both, one health endpoint speaks for both and one signal drains both."""
    monkeypatch.setenv(_WORKERS, "2")
    load = Load(10_000, seed=7, traces_per_request=25)
    async with _sinks(load, 2) as (tally, backends):
        with _router(tmp_path, backends) as router:

            async def nothing() -> None:
                """Only the load."""

            await _press([router.target] * 32, load, nothing)
            pids = _workers(router)
            page = await asyncio.to_thread(router.metrics)
            code = await asyncio.to_thread(router.child.stop)
            log = router.child.log()
    assert tally.exact(), tally
    assert page.total(_ACCEPTED) == load.spans
    assert page.by_label("otelcol_process_cpu_seconds_total", "worker").keys() == {
        "0",
        "1",
        "supervisor",
    }
    assert code == 0
    assert log.count("service stopped clean=True") == 2
    assert not [pid for pid in pids if _lives(pid)]
