"""The processor ``tail_sampling``: the shell around the `Sampler`.

It owns the clock, the tick and the drain; decisions are the sampler's, deliveries the
release's. Rules:

* ``consume`` is synchronous work: a request is grouped once and appended. It refuses
  while the release is full and once the stage is closed; then nothing was taken.
* A tick judges what is due in slices of a few milliseconds with the event loop running
  in between, so that ingest never stalls behind a burst of decisions.
* Above the memory budget the heaviest traces are judged or thrown away before more is
  taken. A quarter of ``memory.max_bytes``, at most 64 MiB, is for kept traces on their
  way; the sampler has the rest.
* While the release is full nothing is judged: pending traces wait, new ones are refused
  at the door, and nothing is lost.
* A tick that fails is logged and the next one is tried; when they go on failing, or the
  ticker is gone, ``judging`` is false, and the process is not ready.
* A drain judges what is held on what is there (or throws it away, when the
  configuration says so), then flushes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from traceback import format_exception_only

from tailring_otlpwire import WireError
from tailring_pipeline import Batch, Consumer, Refused, Rejected
from tailring_runtime.config import ComponentId
from tailring_runtime.logs import get_logger
from tailring_runtime.losses import Loss
from tailring_runtime.metrics import Metrics
from tailring_runtime.tasks import TaskSet
from tailring_sampler.config import TailSamplingConfig
from tailring_sampler.decision_log import DecisionLog
from tailring_sampler.decisions import DecisionMemory
from tailring_sampler.doors import Decision, Door
from tailring_sampler.gates import COUNT_SPANS, RECORD_POLICY, USE_TRACESTATE
from tailring_sampler.judge import Judge
from tailring_sampler.policies.policy import use_tracestate
from tailring_sampler.recording import KeptWriters, PolicyRecorder
from tailring_sampler.release import Release, ReleaseSettings
from tailring_sampler.sampler import MEMORY_UNBOUNDED, MemoryBudget, Sampler
from tailring_sampler.telemetry import SamplerTelemetry
from tailring_sampler.threshold_writing import ThresholdWriter
from tailring_sampler.tracebuffer import TraceBuffer

__all__ = ["ProcessorSettings", "TailSamplingProcessor", "build_sampler"]

DEFAULT_ID = ComponentId("tail_sampling")

TICK_S = 0.1
# After so much work in one go the event loop runs once.
SLICE_NS = 5_000_000
# Traces between two looks at the clock; a trace costs microseconds.
SLICE_TRACES_MAX = 64
# Ticks in a row that may fail before the processor calls itself broken: a second.
FAILED_TICKS_MAX = 10
# How long a refused sender is asked to wait.
RETRY_AFTER_S = 1.0


# Part of the memory that kept traces may take while they wait for their delivery.
RELEASE_SHARE = 4


def build_sampler(
    config: TailSamplingConfig,
    *,
    label_prefix: str = "",
    gates: AbstractSet[str] = frozenset(),
    memory_max_bytes: int = MEMORY_UNBOUNDED,
) -> Sampler:
    """The pure sampler that a configuration describes.

    ``gates`` are on, and it may use ``memory_max_bytes``.
    """
    buffer = TraceBuffer(
        traces_max=config.num_traces,
        wait_ns=config.wait_ns,
        from_last=config.decision_wait_from == "last",
        wait_max_ns=config.wait_max_ns,
        root_wait_ns=config.root_wait_ns,
    )
    policies = config.named_policies(label_prefix)
    judge = Judge(
        policies,
        first_match=config.sample_on_first_match,
        counts_spans=COUNT_SPANS in gates,
        stopwatch_ns=time.perf_counter_ns,
    )
    memory = DecisionMemory(
        sampled_max=config.decision_cache.sampled_cache_size,
        not_sampled_max=config.decision_cache.non_sampled_cache_size,
    )
    thresholds = None
    if USE_TRACESTATE in gates:
        config.refuse_limiters(USE_TRACESTATE)
        use_tracestate([one.policy for one in policies], always=False)
        thresholds = ThresholdWriter()
    recorder = PolicyRecorder() if RECORD_POLICY in gates else None
    budget = MemoryBudget(
        memory_max_bytes, evict_undecided=config.memory.eviction == "drop"
    )
    writers = KeptWriters(recorder, thresholds)
    sampler = Sampler(buffer, judge, memory, budget=budget, writers=writers)
    sampler.log = DecisionLog(config.explain_max_bytes, policies)
    return sampler


# Wall time, because `composite` counts by Unix seconds as upstream does; but it goes on
# as the monotonic clock does, whatever becomes of the wall clock.
_BEGAN_NS = time.time_ns() - time.monotonic_ns()


def steady_clock_ns() -> int:
    """Unix time of the start of the process plus what has passed since; monotonic."""
    return _BEGAN_NS + time.monotonic_ns()


@dataclass(frozen=True, slots=True)
class ProcessorSettings:
    """What a developer passes: limits of the release, the clock, who hears of exports.

    ``memory_max_bytes`` is what holds when the configuration names none.
    ``on_delivered`` is called with trace ids when the next consumer has taken them;
    ``gates`` are the feature gates that are on.
    """

    release: ReleaseSettings = field(default_factory=ReleaseSettings)
    memory_max_bytes: int = MEMORY_UNBOUNDED
    clock_ns: Callable[[], int] = steady_clock_ns
    on_delivered: Callable[[Sequence[bytes]], None] | None = None
    gates: AbstractSet[str] = frozenset()


class TailSamplingProcessor:
    """A `Stage`, `Consumer`, `Losing` and `Hurrying`; see the module's rules.

    ``name`` is the component's id, ``tail_sampling`` or ``tail_sampling/foo``.
    """

    def __init__(
        self,
        config: TailSamplingConfig,
        *,
        consumer: Consumer,
        metrics: Metrics,
        name: ComponentId = DEFAULT_ID,
        settings: ProcessorSettings | None = None,
    ) -> None:
        settings = settings if settings is not None else ProcessorSettings()
        self._config = config
        self._clock_ns = settings.clock_ns
        self.name = str(name)
        self._log = get_logger(processor=str(name))
        prefix = f"{name.name}." if name.name else ""
        memory_max_bytes = config.memory.max_bytes or settings.memory_max_bytes
        release = _with_share(settings.release, memory_max_bytes)
        self.sampler = build_sampler(
            config,
            label_prefix=prefix,
            gates=settings.gates,
            memory_max_bytes=memory_max_bytes - release.held_bytes_max,
        )
        self.release = Release(
            release,
            consumer=consumer,
            metrics=metrics,
            processor=str(name),
            on_delivered=settings.on_delivered,
        )
        self._telemetry = SamplerTelemetry(metrics, self.sampler, processor=str(name))
        self._tasks = TaskSet(str(name), metrics=metrics)
        self._ticker: asyncio.Task[None] | None = None
        # Since the last tick that did its work.
        self._failed_ticks = 0
        self._closed = False
        self._terminated = False

    async def consume(self, batch: Batch) -> None:
        """Hold the spans of the batch; returns when they are held.

        Waits for nobody; it only lets the event loop run while it makes room.
        """
        await self._relieve()
        if self._closed:
            raise Refused("draining", "the sampler is stopping")
        if self.release.full:
            raise Refused(
                "release_full",
                "kept traces wait for the backend",
                retry_after_s=RETRY_AFTER_S,
            )
        try:
            kept = self.sampler.ingest(batch.payload, self._clock_ns())
        except WireError as error:
            raise Rejected("malformed", str(error)) from error
        for trace in kept:
            self.release.offer(trace)
        await self._relieve()

    @property
    def loss(self) -> Loss:
        """What was held when the process stopped, and is lost by that."""
        left = (Door.ABANDONED, Decision.PENDING)
        buffer = self.sampler.buffer
        abandoned = Loss(
            buffer.spans_left.get(left, 0), buffer.traces_left.get(left, 0)
        )
        return abandoned + self.release.loss

    @property
    def now_ns(self) -> int:
        """The clock that all times of the sampler are on."""
        return self._clock_ns()

    @property
    def judging(self) -> bool:
        """Whether traces that are due are judged; a condition for being ready."""
        if self._ticker is None or self._ticker.done():
            return False
        return self._failed_ticks < FAILED_TICKS_MAX

    async def start(self) -> None:
        """Begin to tick."""
        self._ticker = self._tasks.spawn(self._tick_forever(), name="decision tick")

    def close(self) -> None:
        """Refuse new batches; what is held goes on being judged."""
        self._closed = True

    def hurry(self) -> None:
        """A drain has begun: kept traces that were refused are sent again soon."""
        self.release.hurry()

    async def join(self, timeout_s: float) -> None:
        """Judge or discard all that is held, and deliver it, within ``timeout_s``."""
        self.close()
        await self._stop_ticker()
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        if self._config.drop_pending_traces_on_shutdown:
            self.sampler.discard_pending(Door.DISCARDED, self._clock_ns())
        self.sampler.expire_all(self._clock_ns())
        await self.tick()
        while self.sampler.buffer.traces_pending and loop.time() < deadline_s:
            # The release was full: there is room again when a delivery ends.
            await self.release.wait_change(deadline_s - loop.time())
            await self.tick()
        await self.release.flush(deadline_s - loop.time())

    async def terminate(self) -> None:
        """Abandon what is left, counted by name. Safe twice."""
        self.close()
        if self._terminated:
            return
        self._terminated = True
        await self._tasks.close()
        abandoned = self.sampler.discard_pending(Door.ABANDONED, self._clock_ns())
        if abandoned:
            self._log.warning("pending traces were abandoned", traces=abandoned)
        await self.release.terminate()
        self._telemetry.tick(0)

    async def tick(self) -> None:
        """Judge what is due now, letting the event loop run in between."""
        begun_ns = slice_ns = self._clock_ns()
        while self._goes_on(begun_ns):
            _, kept = self.sampler.judge_due(begun_ns, traces_max=SLICE_TRACES_MAX)
            for trace in kept:
                self.release.offer(trace)
            now_ns = self._clock_ns()
            if now_ns - slice_ns >= SLICE_NS:
                await asyncio.sleep(0)
                slice_ns = self._clock_ns()
        await self._relieve()
        self._log_errors()
        self._telemetry.tick(self._clock_ns() - begun_ns)

    def _goes_on(self, now_ns: int) -> bool:
        blocked = self.release.full or self._terminated
        return not blocked and self.sampler.is_due(now_ns)

    async def _relieve(self) -> None:
        """Make room until the memory suffices, the release is full or nothing goes."""
        slice_ns = self._clock_ns()
        while self.sampler.pressed and not (self.release.full or self._terminated):
            now_ns = self._clock_ns()
            if now_ns - slice_ns >= SLICE_NS:
                await asyncio.sleep(0)
                slice_ns = self._clock_ns()
                continue
            # One by one: a giant trace alone can fill the release.
            done, kept = self.sampler.relieve(now_ns, traces_max=1)
            for trace in kept:
                self.release.offer(trace)
            if not done:
                return

    def check_invariants(self) -> None:
        """Assert that no span is lost between the parts. Slow: for tests."""
        self.sampler.check_invariants()
        self.release.check_invariants()
        kept = sum(
            spans
            for (_, decision), spans in self.sampler.buffer.spans_left.items()
            if decision is Decision.SAMPLED
        )
        assert self.release.spans_taken == kept

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await self.tick()
            except Exception as error:  # noqa: BLE001 - one bad tick must not be the last
                self._failed_ticks += 1
                self._log.error("a decision tick failed", exc_info=error)
            else:
                self._failed_ticks = 0

    async def _stop_ticker(self) -> None:
        ticker, self._ticker = self._ticker, None
        if ticker is not None:
            ticker.cancel()
            await asyncio.wait([ticker])

    def _log_errors(self) -> None:
        for tally in self.sampler.judge.tallies:
            error, tally.error = tally.error, None
            if error is not None:
                # A plug-in's exception may fail to say what it is.
                said = "".join(format_exception_only(error)).strip()
                self._log.warning("a policy failed", policy=tally.name, error=said)
        for name, count, newest in self.sampler.judge.take_failures():
            # At most once a tick, whatever the traces are.
            self._log.warning(newest, policy=name, times=count)


def _with_share(settings: ReleaseSettings, memory_max_bytes: int) -> ReleaseSettings:
    """The settings of the release, in its part of the memory."""
    share_bytes = memory_max_bytes // RELEASE_SHARE
    held_bytes_max = min(settings.held_bytes_max, share_bytes)
    return replace(settings, held_bytes_max=held_bytes_max)
