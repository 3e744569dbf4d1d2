"""Simulated samplers: the real `TailSamplingProcessor`, and the backend behind it.

A machine has an address and, one after the other, *lives*. A life is one process from
its start to its end: everything real is made anew, all counters begin at zero. What
stands between the processor and the backend is the real batch processor, queue and
retry, as far as the scenario wants them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

from tests.simulation.determinism import History
from tests.simulation.ledger import Ledger
from tests.simulation.network import Call, Fate, Network, end
from tests.simulation.scenario import Faults, Scenario
from tests.simulation.spans import POISON_BACKEND, POISON_SAMPLER, copies_of, names

from tailring_otlpwire import chunk, count_spans
from tailring_pipeline import (
    Batch,
    BatchConfig,
    BatchProcessor,
    Consumer,
    ExporterMetrics,
    QueueConfig,
    Refused,
    Rejected,
    Retry,
    RetryConfig,
    SendingQueue,
    Stage,
    fan_out,
)
from tailring_runtime.metrics import Metrics
from tailring_sampler.config import TailSamplingConfig
from tailring_sampler.doors import Decision, Door
from tailring_sampler.processor import ProcessorSettings, TailSamplingProcessor
from tailring_sampler.release import ReleaseSettings

__all__ = ["Backend", "SamplerLife", "SamplerMachine"]

_SECOND_NS = 1_000_000_000
_EXPORT_TIMEOUT_S = 5.0


@dataclass(slots=True)
class Backend:
    """Where all samplers send to; ``down`` refuses everything."""

    number: int
    ledger: Ledger
    history: History
    down: bool = False

    @property
    def name(self) -> str:
        """For the history."""
        return f"backend{self.number}"

    def serve(self, payload: bytes, sampler: str, *, fate: Fate) -> int:
        """Take a request; the spans not taken."""
        if self.down:
            raise Refused("unavailable", "the backend is down")
        if POISON_BACKEND in names(payload):
            raise Rejected("invalid_argument", "poison")
        payload, untaken = cut(payload, fate)
        copies = copies_of(payload)
        words = f"{sampler} -> {self.name} {len(copies)} spans"
        self.history.note(f"{words} {crc32(payload):08x}")
        self.ledger.exported(copies, sampler, backend=self.number)
        return untaken


class BackendLink:
    """A `Consumer` that is one sampler's connection to the backend."""

    def __init__(
        self, backend: Backend, *, network: Network, faults: Faults, sampler: str
    ) -> None:
        self._backend = backend
        self._network = network
        self._faults = faults
        self._sampler = sampler
        self._calls: dict[Call, None] = {}

    async def consume(self, batch: Batch) -> None:
        """Deliver, or raise what the backend or the network say."""
        copies = copies_of(batch.payload)
        assert len(copies) == batch.items, "a batch does not hold what it claims"

        async def serve(fate: Fate) -> int:
            return self._backend.serve(batch.payload, self._sampler, fate=fate)

        untaken = await self._network.call(
            serve,
            faults=self._faults,
            timeout_s=_EXPORT_TIMEOUT_S,
            doubt=lambda _noticed: self._doubt(copies),
            calls=self._calls,
        )
        if untaken:
            raise Rejected("partial", "some were not taken", items=untaken)

    def _doubt(self, copies: list[int]) -> None:
        self._backend.ledger.export_doubted(copies, backend=self._backend.number)

    def cut(self) -> None:
        """The process ended: nobody waits for these answers any more."""
        for call in list(self._calls):
            end(call, Refused("closed", "the connection was closed"))


class SamplerLife:
    """One process of a sampler."""

    def __init__(
        self,
        name: str,
        scenario: Scenario,
        *,
        backends: Sequence[Backend],
        network: Network,
    ) -> None:
        knobs = scenario.sampler
        loop = asyncio.get_running_loop()
        self.name = name
        self.ledger = backends[0].ledger
        self.history = backends[0].history
        self.metrics = Metrics()
        self.ending = False
        self._skew_ns = scenario.rng(f"clock {name}").randrange(1 << 50)
        self._loop = loop
        self.links = [
            BackendLink(one, network=network, faults=scenario.to_backend, sampler=name)
            for one in backends
        ]
        self.behind: list[Stage] = []
        self.processor = TailSamplingProcessor(
            _config(scenario),
            consumer=self._consumer(scenario),
            metrics=self.metrics,
            settings=ProcessorSettings(
                release=ReleaseSettings(
                    batch_spans_max=knobs.batch_spans_max,
                    held_bytes_max=knobs.held_bytes_max,
                ),
                clock_ns=self.now_ns,
            ),
        )

    def now_ns(self) -> int:
        """The monotonic clock of this process; no two begin alike."""
        return int(self._loop.time() * _SECOND_NS) + self._skew_ns

    async def start(self) -> None:
        """Begin to work."""
        for stage in self.behind:
            await stage.start()
        await self.processor.start()

    async def serve(self, payload: bytes, *, fate: Fate) -> int:
        """Take a request as the receiver does; the spans not taken."""
        if POISON_SAMPLER in names(payload):
            raise Rejected("invalid_argument", "poison")
        payload, untaken = cut(payload, fate)
        await self.processor.consume(Batch(payload, count_spans(payload)))
        copies = copies_of(payload)
        self.history.note(f"{self.name} takes {len(copies)} {crc32(payload):08x}")
        self.ledger.taken(copies, self.name, at_ns=self.now_ns())
        self.check()
        return untaken

    async def end(self, *, join_s: float | None) -> None:
        """Stop: drained within ``join_s``, or cut off at once when that is None."""
        self.ending = True
        stages: list[Stage] = [self.processor, *self.behind]
        for stage in stages if join_s is not None else ():
            stage.close()
            await stage.join(join_s or 0.0)
        for stage in stages:
            await stage.terminate()
        for link in self.links:
            link.cut()
        self.check()

    def left(self, *doors: Door) -> int:
        """Spans that left by these doors, whatever was decided."""
        left = self.processor.sampler.buffer.spans_left
        return sum(spans for (door, _), spans in left.items() if door in doors)

    def lost_at_shutdown(self) -> int:
        """Spans that were still held when the time to drain was over."""
        return self.left(Door.ABANDONED) + self.processor.release.loss.spans

    def check(self) -> None:
        """Assert that the books of this process are right."""
        sampler, release = self.processor.sampler, self.processor.release
        buffer = sampler.buffer
        sampler.check_invariants()
        release.check_invariants()
        assert buffer.spans_received == self.ledger.taken_by.get(self.name, 0)
        kept = sum(
            spans
            for (_, decision), spans in buffer.spans_left.items()
            if decision is Decision.SAMPLED
        )
        assert release.spans_taken == kept, "a kept span did not go to the release"
        for stage in self.behind:
            if isinstance(stage, BatchProcessor | SendingQueue):
                stage.check_invariants()

    def check_empty(self) -> None:
        """Assert that nothing is held any more."""
        buffer, release = self.processor.sampler.buffer, self.processor.release
        assert buffer.spans_held == buffer.bytes_held == buffer.traces_pending == 0
        assert release.spans_held == release.bytes_held == 0
        for stage in self.behind:
            if isinstance(stage, BatchProcessor | SendingQueue):
                assert stage.statistics().held == 0
        failures = self.metrics.value("tailring_task_failures")
        assert failures == 0, "a background task failed"

    def _consumer(self, scenario: Scenario) -> Consumer:
        """What a pipeline has behind the processor: each exporter with its queue and
        retry, and before it a batch processor of its own, if the scenario wants it."""
        exporter = scenario.sampler.exporter
        if exporter == "link":
            return fan_out(self.links)
        queues = [self._queue(number, link) for number, link in enumerate(self.links)]
        if exporter == "queue":
            self.behind = [*queues]
            return fan_out(queues)
        config = BatchConfig(send_batch_size=20, send_batch_max_size=30)
        batches = [
            BatchProcessor(config, consumer=queue, metrics=self.metrics)
            for queue in queues
        ]
        self.behind = [*batches, *queues]
        return fan_out(batches)

    def _queue(self, number: int, link: BackendLink) -> SendingQueue:
        short = _SECOND_NS // 10
        retry = RetryConfig(
            initial_interval=short, max_interval=short, max_elapsed_time=_SECOND_NS
        )
        return SendingQueue(
            QueueConfig(num_consumers=2, queue_size=4),
            consumer=Retry(retry, consumer=link),
            metrics=ExporterMetrics(self.metrics, f"otlp/{number}"),
        )


class SamplerMachine:
    """An address and the process that serves it, if one does."""

    def __init__(
        self,
        address: str,
        scenario: Scenario,
        *,
        backends: Sequence[Backend],
        network: Network,
    ) -> None:
        self.address = address
        self.lives: list[SamplerLife] = []
        self.up = False
        self.refuses = False
        """Every request is answered as by an overloaded process."""
        self.throttles_s = 0.0
        """0: it does not; else so long it asks everybody to wait."""
        self.delay_s = 0.0
        """How long it takes to look at a request."""
        self._scenario = scenario
        self._backends = backends
        self._network = network

    @property
    def life(self) -> SamplerLife:
        """The newest life."""
        return self.lives[-1]

    async def start(self) -> None:
        """Begin another life."""
        name = f"{self.address}#{len(self.lives)}"
        life = SamplerLife(
            name, self._scenario, backends=self._backends, network=self._network
        )
        self.lives.append(life)
        await life.start()
        self.up = True

    async def end(self, *, join_s: float | None) -> None:
        """End this life; see `SamplerLife.end`. A drain is answered while it lasts."""
        if join_s is None:
            self.up = False
        await self.life.end(join_s=join_s)
        self.up = False

    async def serve(self, payload: bytes, *, fate: Fate) -> int:
        """Answer a request of a router; the spans not taken."""
        await asyncio.sleep(self.delay_s)
        if not self.up:
            raise Refused("unreachable", "connection refused")
        if self.refuses:
            raise Refused("unavailable", "overloaded", retry_after_s=0.1)
        if self.throttles_s:
            raise Refused("throttled", "exhausted", retry_after_s=self.throttles_s)
        try:
            return await self.life.serve(payload, fate=fate)
        except Refused as refused:
            # What a receiver makes of every refusal.
            raise Refused(
                "unavailable", refused.detail, retry_after_s=refused.retry_after_s or 1
            ) from refused


def cut(payload: bytes, fate: Fate) -> tuple[bytes, int]:
    """What a server takes of a request, and how many spans it leaves."""
    spans = count_spans(payload)
    if fate is not Fate.PARTIAL or spans < 2:
        return payload, 0
    return chunk(payload, spans // 2)[0], spans - spans // 2


def _config(scenario: Scenario) -> TailSamplingConfig:
    knobs = scenario.sampler
    return TailSamplingConfig.model_validate(
        {
            "decision_wait": f"{knobs.decision_wait_s}s",
            "decision_wait_from": "last" if knobs.from_last else "first",
            "num_traces": knobs.num_traces,
            "decision_cache": {
                "sampled_cache_size": knobs.decision_cache,
                "non_sampled_cache_size": knobs.decision_cache,
            },
            "drop_pending_traces_on_shutdown": knobs.drop_pending,
            "policies": [
                {
                    "name": "errors",
                    "type": "status_code",
                    "status_code": {"status_codes": ["ERROR"]},
                },
                {
                    "name": "share",
                    "type": "probabilistic",
                    "probabilistic": {"sampling_percentage": knobs.kept_percent},
                },
            ],
        }
    )
