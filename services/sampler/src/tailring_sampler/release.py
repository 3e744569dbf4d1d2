"""Kept traces on their way out: joined into batches, several under way at once.

Rules:

* What is refused is kept and sent again until it is taken; what is held is bounded, and
  a full stage makes the processor stop judging and refuse new spans. Nothing is lost.
* What is rejected for what may be in it is sent again in halves, and those again, until
  the poisonous trace is alone: it costs no other, and of a thousand traces some twenty
  requests. A trace that is rejected alone is lost by name.
* spans taken = delivered + lost by each reason + held, always.
* ``on_delivered`` is called with the ids of the traces of a batch when the next
  consumer has taken or finally rejected it; with our exporter that is when the backend
  has answered.

How it works: traces gather in an open batch, which is closed by its size or by its age
and then joins a queue; as many deliveries run as ``in_flight_max`` allows.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tailring_otlpio import SPLIT_REASONS
from tailring_otlpwire import join
from tailring_pipeline import (
    Backoff,
    Batch,
    Consumer,
    FailureLog,
    Refused,
    Rejected,
    RetryConfig,
    Wakeups,
    delivery_of,
)
from tailring_runtime.logs import get_logger
from tailring_runtime.metrics import Metrics, MetricSpec
from tailring_runtime.tasks import TaskSet
from tailring_sampler.sampler import KeptTrace

__all__ = ["SPECS", "Release", "ReleaseSettings"]

SECOND_NS = 1_000_000_000

DELIVERED = MetricSpec(
    "tailring_sampler_spans_delivered",
    "counter",
    "Spans of kept traces that the next component took.",
    unit="{spans}",
    labels=("processor",),
)
LOST = MetricSpec(
    "tailring_sampler_spans_lost",
    "counter",
    "Spans of kept traces that were lost after the decision, by reason.",
    unit="{spans}",
    labels=("processor", "reason"),
)
REFUSALS = MetricSpec(
    "tailring_sampler_release_refusals",
    "counter",
    "Batches of kept traces that were refused and are sent again.",
    labels=("processor",),
)
HELD_SPANS = MetricSpec(
    "tailring_sampler_release_spans_held",
    "gauge",
    "Spans of kept traces that wait for their delivery.",
    unit="{spans}",
    labels=("processor",),
)
HELD_BYTES = MetricSpec(
    "tailring_sampler_release_held_bytes",
    "gauge",
    "Encoded bytes of kept traces that wait; at the bound the sampler refuses spans.",
    unit="By",
    labels=("processor",),
)
SPECS = (DELIVERED, LOST, REFUSALS, HELD_SPANS, HELD_BYTES)


@dataclass(frozen=True, slots=True)
class ReleaseSettings:
    """Limits of the release; a batch may exceed its bounds by one trace."""

    batch_spans_max: int = 8192
    batch_bytes_max: int = 2 << 20
    # How long the first trace of a batch waits for others.
    linger_s: float = 0.2
    # Many, for a `batch` processor behind us answers only when its batch has gone; what
    # is held is bounded in bytes, and an exporter bounds its own deliveries.
    in_flight_max: int = 1024
    # At least a few batches, or deliveries never overlap.
    held_bytes_max: int = 64 << 20
    retry: RetryConfig = field(
        default_factory=lambda: RetryConfig(
            initial_interval=SECOND_NS // 2,
            max_interval=10 * SECOND_NS,
            max_elapsed_time=0,
        )
    )


class _Batch:
    """Traces that are sent together; once they are under way, those that are left."""

    def __init__(self) -> None:
        self.traces: list[KeptTrace] = []
        self.spans = 0
        self.size_bytes = 0

    def add(self, trace: KeptTrace) -> None:
        self.traces.append(trace)
        self.spans += trace.spans
        self.size_bytes += trace.size_bytes


class Release:
    """See the module's rules. ``offer`` and ``full`` never wait."""

    def __init__(
        self,
        settings: ReleaseSettings,
        *,
        consumer: Consumer,
        metrics: Metrics,
        processor: str,
        on_delivered: Callable[[Sequence[bytes]], None] | None = None,
    ) -> None:
        self._settings = settings
        self._consumer = consumer
        self._metrics = metrics
        self._processor = processor
        self._on_delivered = on_delivered
        self._log = get_logger(processor=processor)
        self._tasks = TaskSet(f"{processor} release", metrics=metrics)
        self._open = _Batch()
        self._queue: deque[_Batch] = deque()
        self._linger: asyncio.TimerHandle | None = None
        self._under_way: set[_Batch] = set()
        self._changed = Wakeups()
        self._terminated = False
        self.spans_taken = 0
        self.spans_delivered = 0
        self.spans_held = 0
        self.bytes_held = 0
        self._delivered = metrics.counter(DELIVERED, processor=processor)
        self._refusals = metrics.counter(REFUSALS, processor=processor)
        self._lost: dict[str, int] = {}
        self._rejections = FailureLog("Kept traces were rejected.", log=self._log)
        self._waiting = FailureLog("Kept traces wait.", log=self._log, level="warning")
        self._held_spans = metrics.gauge(HELD_SPANS, processor=processor)
        self._held_bytes = metrics.gauge(HELD_BYTES, processor=processor)

    @property
    def full(self) -> bool:
        """Whether more would be hoarding: stop judging, refuse new spans."""
        return self.bytes_held >= self._settings.held_bytes_max

    @property
    def spans_lost(self) -> int:
        """Spans that were lost here, whatever the reason."""
        return sum(self._lost.values())

    def offer(self, trace: KeptTrace) -> None:
        """Take a kept trace; the release owns it afterwards. Needs a running loop."""
        assert not self._terminated
        self.spans_taken += trace.spans
        self._hold(trace.spans, trace.size_bytes)
        self._open.add(trace)
        if (
            self._open.spans >= self._settings.batch_spans_max
            or self._open.size_bytes >= self._settings.batch_bytes_max
        ):
            self.close_batch()
        elif self._linger is None:
            loop = asyncio.get_running_loop()
            self._linger = loop.call_later(self._settings.linger_s, self.close_batch)

    def close_batch(self) -> None:
        """Send what has gathered without waiting for more."""
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        if self._open.traces:
            self._queue.append(self._open)
            self._open = _Batch()
        self._pump()

    async def wait_change(self, timeout_s: float) -> None:
        """Wait until a delivery ended, at most ``timeout_s``."""
        await self._changed.wait(timeout_s)

    async def flush(self, timeout_s: float) -> None:
        """Send what is held and wait until nothing is, at most ``timeout_s``."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        self.close_batch()
        while self.spans_held and loop.time() < deadline_s:
            await self._changed.wait(deadline_s - loop.time())

    async def terminate(self) -> None:
        """Abandon what is held, counted as lost. Safe twice."""
        if self._terminated:
            return
        self._terminated = True
        if self._linger is not None:
            self._linger.cancel()
        await self._tasks.close()
        for batch in (*self._under_way, *self._queue, self._open):
            self._lose(batch.traces, "terminated")
        self._under_way.clear()
        self._queue.clear()
        self._open = _Batch()
        self._rejections.flush()
        self._waiting.flush()

    def check_invariants(self) -> None:
        """Assert that every span taken is in one place."""
        left = self.spans_delivered + self.spans_lost
        assert self.spans_taken == left + self.spans_held
        batches = (*self._under_way, *self._queue, self._open)
        assert self.spans_held == sum(t.spans for b in batches for t in b.traces)
        assert len(self._under_way) <= self._settings.in_flight_max
        assert (self.bytes_held == 0) == (self.spans_held == 0)

    def _pump(self) -> None:
        while self._queue and len(self._under_way) < self._settings.in_flight_max:
            batch = self._queue.popleft()
            # Noted here and not by the task: one that is cancelled first never runs.
            self._under_way.add(batch)
            self._tasks.spawn(self._run(batch), name="deliver kept traces")

    async def _run(self, batch: _Batch) -> None:
        try:
            await self._deliver(batch.traces)
        finally:
            if not self._terminated:
                self._under_way.discard(batch)
                self._changed.wake_all()
                self._pump()

    async def _deliver(self, rest: list[KeptTrace]) -> None:
        # `rest` shrinks from the front: what is in it has not been answered for.
        counts = [len(rest)]  # the next group's size is the last
        while rest:
            count = counts.pop()
            traces = rest[:count]
            rejected = await self._send(traces)
            if rejected is not None and _is_suspect(rejected) and count > 1:
                counts += [count - count // 2, count // 2]
                continue
            del rest[:count]
            if rejected is None:
                self._settle(traces)
            else:
                self._reject(traces, rejected)

    async def _send(self, traces: list[KeptTrace]) -> Rejected | None:
        """Deliver one batch, however often it is refused.

        An answer without a number of items means that nothing of it was taken.
        """
        spans = sum(trace.spans for trace in traces)
        batch = Batch(join(piece for one in traces for piece in one.pieces), spans)
        backoff = Backoff(self._settings.retry)
        while True:
            outcome = await delivery_of(batch, self._consumer, log=self._log)
            if outcome is None:
                return None
            if isinstance(outcome, Rejected):
                items = outcome.items_of(batch)
                return Rejected(
                    outcome.reason,
                    outcome.detail,
                    items=None if items == spans else items,
                )
            self._refusals.add()
            self._waiting.failed(outcome, outcome.items_of(batch))
            batch = outcome.remaining or batch
            await asyncio.sleep(self._delay_s(backoff, outcome))

    @staticmethod
    def _delay_s(backoff: Backoff, refused: Refused) -> float:
        delay_ns = backoff.next_delay_ns(
            0,
            jitter=random.random(),
            retry_after_ns=int(refused.retry_after_s * SECOND_NS),
        )
        assert delay_ns is not None, "a release never gives up"
        return delay_ns / SECOND_NS

    def _settle(self, traces: list[KeptTrace]) -> None:
        self._let_go(traces)
        self._count_delivered(sum(trace.spans for trace in traces))
        if self._on_delivered is not None:
            self._on_delivered([trace.trace_id for trace in traces])

    def _reject(self, traces: list[KeptTrace], rejected: Rejected) -> None:
        spans = sum(trace.spans for trace in traces)
        lost = spans if rejected.items is None else min(rejected.items, spans)
        self._let_go(traces)
        self._count_delivered(spans - lost)
        self._count_lost(lost, "rejected")
        self._rejections.failed(rejected, lost)
        # The backend has answered for all of them; none is under way any more.
        if self._on_delivered is not None:
            self._on_delivered([trace.trace_id for trace in traces])

    def _lose(self, traces: list[KeptTrace], reason: str) -> None:
        self._let_go(traces)
        self._count_lost(sum(trace.spans for trace in traces), reason)

    def _count_delivered(self, spans: int) -> None:
        self.spans_delivered += spans
        self._delivered.add(spans)

    def _count_lost(self, spans: int, reason: str) -> None:
        self._lost[reason] = self._lost.get(reason, 0) + spans
        counter = self._metrics.counter(LOST, processor=self._processor, reason=reason)
        counter.add(spans)

    def _let_go(self, traces: list[KeptTrace]) -> None:
        spans = sum(trace.spans for trace in traces)
        self._hold(-spans, -sum(trace.size_bytes for trace in traces))

    def _hold(self, spans: int, size_bytes: int) -> None:
        self.spans_held += spans
        self.bytes_held += size_bytes
        self._held_spans.add(spans)
        self._held_bytes.add(size_bytes)


def _is_suspect(rejected: Rejected) -> bool:
    """Whether all was rejected for a reason that one trace alone may have given."""
    return rejected.items is None and rejected.reason in SPLIT_REASONS
