"""The router is killed while a queue on disk holds what it has acknowledged.

One backend is away half of the time, so that there is always something on disk. What a
router acknowledged the next one has to deliver: nothing may be lost. What was in flight
when it was killed comes twice, and so does what was delivered in part.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.faults.bench import Bench, running_bench
from tests.faults.counted import Counted, counted

from tailring_testkit import prom
from tailring_testkit.numbered import Load
from tailring_testkit.pressure import Pressed, Pressure
from tailring_testkit.process import Child, http_ok

__all__ = ["StorageKilled", "run_storage_kills"]

_LIVES_MAX_S = 1.5
_TRACES_PER_REQUEST = 50
_SECONDS_A_KILL_MAX = 15.0
_DELIVERED_WITHIN_S = 120.0
_FAST: Final = {
    "initial_interval": "100ms",
    "max_interval": "500ms",
    "max_elapsed_time": "0s",
}
_EXPORTER: Final[dict[str, Any]] = {
    "sending_queue": {"storage": "file_storage", "queue_size": 1_000_000},
    "retry_on_failure": {"enabled": True, **_FAST},
    "protocol": {
        "otlp": {
            "tls": {"insecure": True},
            "timeout": "1s",
            "retry_on_failure": {"initial_interval": "100ms", "max_interval": "500ms"},
        }
    },
}


@dataclass(frozen=True, slots=True)
class StorageKilled:
    """What became of the load; ``recovered`` are the spans that routers found at their
    start, ``most_on_disk`` the bytes that one of them saw."""

    kills: int
    counted: Counted
    pressed: Pressed
    recovered: int
    most_on_disk: int

    def problems(self) -> list[str]:
        """What is not as promised, in words; empty when all is well."""
        found = []
        if self.counted.lost:
            found.append(f"{self.counted.lost} acknowledged spans are nowhere")
        if self.pressed.rejected or self.pressed.given_up:
            found.append(f"not every request was acknowledged: {self.pressed.codes}")
        if not self.recovered:
            found.append("no router found anything on disk")
        return found


def run_storage_kills(
    kills: int, folder: Path, *, spans_per_s: int = 5_000
) -> StorageKilled:
    """Kill the router ``kills`` times, and let every request be acknowledged."""
    return asyncio.run(_run(kills, folder, spans_per_s))


async def _run(kills: int, folder: Path, spans_per_s: int) -> StorageKilled:
    block = 8 * _TRACES_PER_REQUEST
    spans = int(spans_per_s * kills * _SECONDS_A_KILL_MAX) // block * block
    load = Load(spans, seed=3, traces_per_request=_TRACES_PER_REQUEST)
    over = asyncio.Event()
    async with running_bench(folder, exporter=_EXPORTER) as bench:
        pressure = Pressure([bench.target] * 2, spans_per_s=spans_per_s)
        async with asyncio.TaskGroup() as group:
            pressing = group.create_task(pressure.run(load, until=over))
            child, recovered, most = await _kill(kills, bench)
            over.set()
        pressed = pressing.result()
        await _wait_delivered(bench)
        await asyncio.to_thread(child.stop)
    taken = [one.numbers() for one in bench.backends]
    found = counted(load, pressed, taken)
    return StorageKilled(kills, found, pressed, recovered, most)


async def _kill(kills: int, bench: Bench) -> tuple[Child, int, int]:
    """The last router, what all of them recovered, and the most on disk."""
    lives = random.Random(4)
    child, recovered, most = bench.child, 0, 0
    for number in range(kills):
        if number % 2:
            await asyncio.to_thread(bench.victim.start)
        else:
            bench.victim.stop()
        await asyncio.sleep(lives.uniform(0.2, _LIVES_MAX_S))
        most = max(most, int(_scrape(bench).total("tailring_storage_bytes")))
        child.kill()
        child = await asyncio.to_thread(_again, bench)
        recovered += int(_scrape(bench).total("tailring_storage_recovered_items_total"))
    if kills % 2:
        await asyncio.to_thread(bench.victim.start)
    return child, recovered, most


def _again(bench: Bench) -> Child:
    child = Child(bench.child.command, log=bench.child.log_path)
    child.wait_ready(http_ok(bench.ready_url), timeout_s=60.0)
    return child


async def _wait_delivered(bench: Bench) -> None:
    """Until the queue on disk is empty."""
    async with asyncio.timeout(_DELIVERED_WITHIN_S):
        while _scrape(bench).total("otelcol_exporter_queue_size"):  # noqa: ASYNC110
            await asyncio.sleep(0.2)


def _scrape(bench: Bench) -> prom.Scrape:
    return prom.scrape(bench.metrics_port)
