"""Every backend is away for long, and clients go on sending.

The router has a queue larger than its memory may become, so that the memory limiter
is what refuses. Its resident size is looked at all the time. Then the backends come,
and get everything that was acknowledged.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.bench import BACKENDS
from tests.faults.counted import Counted, counted

from tailring_testkit import ports, services
from tailring_testkit.numbered import Load
from tailring_testkit.pressure import Pressed, Pressure
from tailring_testkit.process import Child
from tailring_testkit.recorder import Recorder

__all__ = ["SLACK_MIB", "Outage", "run_outage"]

SLACK_MIB = 64
_LOOK_S = 0.25
_TRACES_PER_REQUEST = 50
_DRAIN_MAX_S = 300.0


@dataclass(frozen=True, slots=True)
class Outage:
    """What was seen."""

    limit_mib: int
    rss_max_mib: float
    counted: Counted
    pressed: Pressed
    drained_s: float

    def problems(self) -> list[str]:
        """What is not as promised, in words; empty when all is well."""
        found = []
        if self.rss_max_mib > self.limit_mib + SLACK_MIB:
            found.append(
                f"{self.rss_max_mib:.0f} MiB were used, the limit is {self.limit_mib}"
            )
        if not self.pressed.refusals:
            found.append("nothing was refused: the outage was too short")
        if self.counted.lost:
            found.append(f"{self.counted.lost} acknowledged spans are nowhere")
        return found


def run_outage(
    folder: Path, *, seconds: float, spans_per_s: int = 5_000, limit_mib: int = 192
) -> Outage:
    """Press for ``seconds`` against nobody, then let the backends come."""
    block = 8 * _TRACES_PER_REQUEST
    spans = int(spans_per_s * seconds) // block * block
    folder.mkdir(parents=True, exist_ok=True)
    load = Load(spans, seed=3, traces_per_request=_TRACES_PER_REQUEST)
    return asyncio.run(_run(folder, load, spans_per_s, limit_mib))


async def _run(folder: Path, load: Load, spans_per_s: int, limit_mib: int) -> Outage:
    loop = asyncio.get_running_loop()
    backends = [Recorder(folder, port=one) for one in ports.free_ports(BACKENDS)]
    service = services.service("router", _config(backends, limit_mib), folder)
    router = await loop.run_in_executor(None, service.__enter__)
    try:
        async with _watched(router.child) as seen:
            # A refusal is an answer here: clients do not come again.
            pressure = Pressure(
                [router.target], spans_per_s=spans_per_s, attempts_max=1
            )
            pressed = await pressure.run(load)
            began_s = loop.time()
            for backend in backends:
                await asyncio.to_thread(backend.start)
            tally = await _drained(backends, load, pressed)
            drained_s = loop.time() - began_s
    finally:
        await loop.run_in_executor(None, service.__exit__, None, None, None)
        for backend in backends:
            backend.stop()
    return Outage(limit_mib, max(seen), tally, pressed, drained_s)


async def _drained(
    backends: Sequence[Recorder], load: Load, pressed: Pressed
) -> Counted:
    """Wait until everything that was acknowledged has come, or for long enough."""
    acknowledged = len(pressed.acknowledged) * load.spans_per_request
    deadline_s = asyncio.get_running_loop().time() + _DRAIN_MAX_S
    while asyncio.get_running_loop().time() < deadline_s:
        taken = [one.numbers() for one in backends]
        if sum(map(len, taken)) >= acknowledged:
            break
        await asyncio.sleep(1.0)
    return counted(load, pressed, [one.numbers() for one in backends])


@asynccontextmanager
async def _watched(child: Child) -> AsyncIterator[list[float]]:
    """The resident sizes of a process while the block runs, in MiB."""
    seen: list[float] = []

    async def watch() -> None:
        """Look again and again."""
        while True:
            seen.append(_rss_mib(child.pid))
            await asyncio.sleep(_LOOK_S)

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch())
        yield seen
        watching.cancel()


def _rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"process {pid} has no resident size")


def _config(backends: Sequence[Recorder], limit_mib: int) -> services.Yaml:
    limiter = {
        "check_interval": "100ms",
        "limit_mib": limit_mib,
        "spike_limit_mib": limit_mib // 5,
    }
    balancing = {
        "protocol": {"otlp": {"tls": {"insecure": True}}},
        "resolver": {"static": {"hostnames": [one.target for one in backends]}},
        "retry_on_failure": {"enabled": True, "max_elapsed_time": 0},
        "sending_queue": {"sizer": "bytes", "queue_size": 4 * limit_mib << 20},
    }
    return {
        "processors": {"memory_limiter": limiter},
        "exporters": {"loadbalancing": balancing},
        "pipeline": {
            "processors": ["memory_limiter"],
            "exporters": ["loadbalancing"],
        },
    }
