"""The backend of a sampler is away for long, in every way, and the sampler is killed.

The backend is down, then slow beyond the exporter's timeout, then refusing, a third of
the time each, while clients go on sending. What the sampler keeps waits in a queue on
disk. Once every trace is decided the sampler is killed and started again, and the
backend comes back: every kept trace arrives. What a killed sampler held undecided would
be lost, so nothing is left undecided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from tests.faults.counted import Counted, counted

from tailring_testkit import prom, services
from tailring_testkit.backend import OK, Answer
from tailring_testkit.numbered import Load
from tailring_testkit.pressure import Pressed, Pressure
from tailring_testkit.process import Child, http_ok
from tailring_testkit.recorder import Recorder

__all__ = ["SamplerOutage", "run_sampler_outage"]

_TRACES_PER_REQUEST = 50
_WAITED_MAX_S = 300.0
_LOOK_S = 0.2
_SLOW: Final = Answer(delay_s=3.0)
_REFUSING: Final = Answer(grpc.StatusCode.UNAVAILABLE, "no", keeps=False)


@dataclass(frozen=True, slots=True)
class SamplerOutage:
    """What was seen; ``on_disk`` are the bytes that waited when it was killed,
    ``recovered`` the spans that the next one found."""

    counted: Counted
    pressed: Pressed
    on_disk: int
    recovered: int
    drained_s: float

    def problems(self) -> list[str]:
        """What is not as promised, in words; empty when all is well."""
        found = []
        if self.counted.lost:
            found.append(f"{self.counted.lost} acknowledged spans are nowhere")
        if self.pressed.rejected or self.pressed.given_up:
            found.append(f"not every request was acknowledged: {self.pressed.codes}")
        if not self.on_disk or not self.recovered:
            found.append("nothing was on disk when the sampler was killed")
        return found


def run_sampler_outage(
    folder: Path, *, seconds: float, spans_per_s: int = 5_000
) -> SamplerOutage:
    """Press for ``seconds`` while the backend is away; kill; let it come back."""
    block = 8 * _TRACES_PER_REQUEST
    spans = max(int(spans_per_s * seconds) // block, 3) * block
    folder.mkdir(parents=True, exist_ok=True)
    load = Load(spans, seed=5, traces_per_request=_TRACES_PER_REQUEST)
    return asyncio.run(_run(folder, load, spans_per_s))


async def _run(folder: Path, load: Load, spans_per_s: int) -> SamplerOutage:
    backend = Recorder(folder)
    service = services.service("sampler", _config(folder, backend.target), folder)
    sampler = await asyncio.to_thread(service.__enter__)
    again: Child | None = None
    try:
        third_s = load.spans / spans_per_s / 3
        async with asyncio.TaskGroup() as group:
            pressure = Pressure([sampler.target], spans_per_s=spans_per_s)
            pressing = group.create_task(pressure.run(load))
            await asyncio.sleep(third_s)  # nobody is there
            await asyncio.to_thread(backend.start)
            await asyncio.to_thread(backend.answer, _SLOW)
            await asyncio.sleep(third_s)
            await asyncio.to_thread(backend.answer, _REFUSING)
        pressed = pressing.result()
        await _until(lambda: _undecided(sampler.metrics()) == 0)
        await asyncio.sleep(2 * _LOOK_S)  # what was between the two has arrived
        await _until(lambda: _undecided(sampler.metrics()) == 0)
        on_disk = int(sampler.metrics().total("tailring_storage_bytes"))
        sampler.child.kill()
        again = Child(sampler.child.command, log=sampler.child.log_path)
        ready = http_ok(f"http://127.0.0.1:{sampler.health_port}/readyz")
        await asyncio.to_thread(again.wait_ready, ready, timeout_s=120.0)
        recovered = sampler.metrics().total("tailring_storage_recovered_items_total")
        await asyncio.to_thread(backend.answer, OK)
        began_s = asyncio.get_running_loop().time()
        await _until(lambda: not sampler.metrics().total("otelcol_exporter_queue_size"))
        drained_s = asyncio.get_running_loop().time() - began_s
    finally:
        if again is not None:
            await asyncio.to_thread(again.stop)
        await asyncio.to_thread(service.__exit__, None, None, None)
        backend.stop()
    tally = counted(load, pressed, [backend.numbers()])
    return SamplerOutage(tally, pressed, on_disk, int(recovered), drained_s)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_WAITED_MAX_S):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - a page
            await asyncio.sleep(_LOOK_S)


def _undecided(page: prom.Scrape) -> float:
    """Spans that wait for a decision, or to be queued."""
    return page.total("tailring_sampler_spans_held") + page.total(
        "tailring_sampler_release_spans_held"
    )


def _config(folder: Path, target: str) -> services.Yaml:
    sampling: dict[str, Any] = {
        "decision_wait": "1s",
        "num_traces": 1_000_000,
        "policies": [{"name": "all", "type": "always_sample"}],
    }
    exporter = {
        "endpoint": target,
        "tls": {"insecure": True},
        "timeout": "1s",
        "sending_queue": {"storage": "file_storage", "queue_size": 1_000_000},
        "retry_on_failure": {
            "initial_interval": "100ms",
            "max_interval": "1s",
            "max_elapsed_time": "0s",
        },
    }
    storage = {"directory": str(folder / "storage"), "create_directory": True}
    return {
        "extensions": {"file_storage": storage},
        "processors": {"tail_sampling": sampling},
        "exporters": {"otlp": exporter},
        "pipeline": {"processors": ["tail_sampling"], "exporters": ["otlp"]},
    }
