"""The processor `tail_sampling` in front of a sink."""

from __future__ import annotations

import asyncio
from collections.abc import Set as AbstractSet
from typing import Any

from tailring_pipeline import Batch
from tailring_runtime.config import ComponentId
from tailring_runtime.metrics import Metrics
from tailring_sampler.config import TailSamplingConfig
from tailring_sampler.processor import ProcessorSettings, TailSamplingProcessor
from tailring_sampler.release import ReleaseSettings
from tailring_testkit import otlp
from tailring_testkit.sink import Sink

__all__ = ["KEEP_ALL", "KEEP_ERRORS", "Rig", "loop_ns"]

UPSTREAM = "otelcol_processor_tail_sampling_"
KEEP_ALL = {"name": "all", "type": "always_sample"}
KEEP_ERRORS = {
    "name": "errors",
    "type": "status_code",
    "status_code": {"status_codes": ["ERROR"]},
}


def loop_ns() -> int:
    """The loop's clock, which virtual time moves."""
    return round(asyncio.get_running_loop().time() * 1e9)


class Rig:
    """A processor in front of a sink, on the loop's clock."""

    def __init__(
        self,
        *,
        held_bytes_max: int = 1 << 30,
        name: str = "tail_sampling",
        gates: AbstractSet[str] = frozenset(),
        **keys: Any,
    ) -> None:
        self.sink = Sink()
        self.metrics = Metrics()
        self.clock_ns = loop_ns
        written = {"decision_wait": "5s", "policies": [KEEP_ALL], **keys}
        self.processor = TailSamplingProcessor(
            TailSamplingConfig.model_validate(written),
            consumer=self.sink,
            metrics=self.metrics,
            name=ComponentId.parse(name),
            settings=ProcessorSettings(
                release=ReleaseSettings(held_bytes_max=held_bytes_max),
                clock_ns=self.read_ns,
                gates=gates,
            ),
        )

    def read_ns(self) -> int:
        """The clock, which a test may exchange."""
        return self.clock_ns()

    async def send(self, *spans: tuple[int, int]) -> None:
        """One request with spans (trace number, status)."""
        built = [
            otlp.span(number.to_bytes(16, "big"), bytes(8), status=status)
            for number, status in spans
        ]
        await self.processor.consume(Batch(otlp.request(*built), len(built)))

    async def drain(self, timeout_s: float = 60) -> None:
        """The end of a process; every span is accounted for after it."""
        self.processor.close()
        await self.processor.join(timeout_s)
        await self.processor.terminate()
        self.processor.check_invariants()
        assert self.processor.release.spans_held == 0
        assert self.processor.sampler.buffer.spans_held == 0

    def value(self, name: str, **labels: str) -> float:
        """A metric of upstream's."""
        return self.metrics.value(UPSTREAM + name, **labels)
