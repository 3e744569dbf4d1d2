"""One trial: a load is pressed through a bench while a fault comes and goes.

What it finds is counted from the files of the backends and from what the clients were
told, never from what the router says of itself; only ``doubted``, the spans whose fate
the router could not know when it sent them again, is the router's own word: so many
may have come twice, and no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.bench import Bench, running_bench
from tests.faults.counted import counted
from tests.faults.faults import Fault

from tailring_testkit.numbered import SPANS_PER_TRACE, Load
from tailring_testkit.pressure import Pressed, Pressure

__all__ = ["Result", "Shape", "run_trial"]

_DOUBTED = "tailring_router_doubted_spans_total"
# Of a load that is large enough for what is in flight to be a small share of it.
_DUPLICATES_SHARE = 0.001
_LARGE_SPANS = 1_000_000
_MEND_S = 60.0


@dataclass(frozen=True, slots=True)
class Shape:
    """How much, how fast, and when the fault strikes."""

    spans_per_s: int = 20_000
    seconds: float = 60.0
    strikes_s: float = 20.0
    lasts_s: float = 15.0
    traces_per_request: int = 50
    timeout_s: float = 10.0
    """How long a client waits for an answer."""
    exporter: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the balancing exporter."""

    def load(self, *, seed: int) -> Load:
        """The load of that size, a whole number of requests."""
        block = self.traces_per_request * SPANS_PER_TRACE
        spans = int(self.spans_per_s * self.seconds) // block * block
        return Load(spans, seed=seed, traces_per_request=self.traces_per_request)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a load."""

    fault: str
    spans: int
    lost: int
    duplicates: int
    doubted: int
    split_traces: int
    pressed: Pressed
    took_s: float

    def problems(self) -> list[str]:
        """What is not as promised, in words; empty when all is well."""
        found = []
        if self.lost:
            found.append(f"{self.lost} acknowledged spans are nowhere")
        if self.pressed.rejected or self.pressed.given_up:
            found.append(f"not every request was acknowledged: {self.pressed.codes}")
        if self.duplicates > self.doubted:
            found.append(
                f"{self.duplicates} spans came twice, the fate of {self.doubted} was"
                " unknown"
            )
        most = self.spans * _DUPLICATES_SHARE
        if self.spans >= _LARGE_SPANS and self.duplicates >= most:
            found.append(f"{self.duplicates} of {self.spans} spans came twice")
        if self.split_traces:
            found.append(f"{self.split_traces} traces came to several backends")
        return found


def run_trial(
    fault: Fault, shape: Shape, folder: Path, *, peer: bool = False
) -> Result:
    """Run one trial from start to end, on an event loop of its own."""
    return asyncio.run(_trial(fault, shape, folder, peer=peer))


async def _trial(fault: Fault, shape: Shape, folder: Path, *, peer: bool) -> Result:
    load = shape.load(seed=1)
    loop = asyncio.get_running_loop()
    async with running_bench(
        folder,
        exporter=_exporter(fault, shape),
        reached=fault.reached,
        lasts_s=shape.lasts_s,
        peer=peer,
    ) as bench:
        begun_s = loop.time()
        pressure = Pressure(
            [bench.target] * 2,
            spans_per_s=shape.spans_per_s,
            timeout_s=shape.timeout_s,
        )
        async with _struck(bench, fault, shape):
            pressed = await pressure.run(load)
        took_s = loop.time() - begun_s
        if peer:  # it has acknowledged what still waits in its queues
            await asyncio.to_thread(bench.child.stop, grace_s=_MEND_S)
        page = bench.metrics()
        doubted = int(page.total(_DOUBTED)) if page is not None else 0
    tally = counted(load, pressed, [one.numbers() for one in bench.backends])
    return Result(
        fault.name,
        load.spans,
        lost=tally.lost,
        duplicates=tally.duplicates,
        doubted=doubted,
        split_traces=tally.split_traces if fault.one_ring else 0,
        pressed=pressed,
        took_s=took_s,
    )


def _exporter(fault: Fault, shape: Shape) -> Mapping[str, Any]:
    if not fault.answers_first:
        return shape.exporter
    return {"timeout": f"{shape.timeout_s / 2}s", **shape.exporter}


@asynccontextmanager
async def _struck(bench: Bench, fault: Fault, shape: Shape) -> AsyncIterator[None]:
    """While the block runs the fault comes and goes; its end is awaited."""

    async def strike() -> None:
        """Begin and end the fault in time."""
        await asyncio.sleep(shape.strikes_s)
        await fault.strike(bench)
        await fault.mend(bench)

    async with asyncio.TaskGroup() as group:
        group.create_task(strike())
        yield
