"""The router itself is killed, again and again, while clients press on.

Without a level-1 queue it acknowledges what backends have acknowledged, so nothing may
be lost that its clients do not send again. What it had in flight may come twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.bench import Bench, running_bench
from tests.faults.counted import Counted, counted

from tailring_testkit.numbered import Load
from tailring_testkit.pressure import Pressed, Pressure
from tailring_testkit.process import Child, http_ok

__all__ = ["Killed", "run_kills"]

# Between the moment when a router is ready and the next SIGKILL.
_LIVES_S = 1.0
_TRACES_PER_REQUEST = 50
# The load ends with the last kill, not with its own end.
_SECONDS_A_KILL_MAX = 15.0


@dataclass(frozen=True, slots=True)
class Killed:
    """What became of the load."""

    kills: int
    counted: Counted
    pressed: Pressed

    def problems(self) -> list[str]:
        """What is not as promised, in words; empty when all is well."""
        found = []
        if self.counted.lost:
            found.append(f"{self.counted.lost} acknowledged spans are nowhere")
        if self.pressed.rejected or self.pressed.given_up:
            found.append(f"not every request was acknowledged: {self.pressed.codes}")
        return found


def run_kills(
    kills: int,
    folder: Path,
    *,
    spans_per_s: int = 5_000,
    exporter: Mapping[str, Any] | None = None,
) -> Killed:
    """Kill the router ``kills`` times, and let every request be acknowledged."""
    return asyncio.run(_run(kills, folder, spans_per_s, exporter or {}))


async def _run(
    kills: int, folder: Path, spans_per_s: int, exporter: Mapping[str, Any]
) -> Killed:
    block = 8 * _TRACES_PER_REQUEST
    spans = int(spans_per_s * kills * _SECONDS_A_KILL_MAX) // block * block
    load = Load(spans, seed=2, traces_per_request=_TRACES_PER_REQUEST)
    over = asyncio.Event()
    async with running_bench(folder, exporter=exporter) as bench:
        pressure = Pressure([bench.target] * 2, spans_per_s=spans_per_s)
        async with asyncio.TaskGroup() as group:
            pressing = group.create_task(pressure.run(load, until=over))
            child = bench.child
            for _ in range(kills):
                await asyncio.sleep(_LIVES_S)
                child.kill()
                child = await asyncio.to_thread(_again, bench)
            over.set()
        pressed = pressing.result()
        child.stop()
    taken = [one.numbers() for one in bench.backends]
    return Killed(kills, counted(load, pressed, taken), pressed)


def _again(bench: Bench) -> Child:
    child = Child(bench.child.command, log=bench.child.log_path)
    child.wait_ready(http_ok(bench.ready_url), timeout_s=60.0)
    return child
