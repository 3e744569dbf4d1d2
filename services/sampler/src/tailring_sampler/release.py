"""Kept traces on their way out: joined into batches, several under way at once.

Rules:

* What is refused is kept and sent again until it is taken; what is held is bounded, and
  a full stage makes the processor stop judging and refuse new spans. Nothing is lost.
* Behind a fan-out each branch is delivered to for itself (`release_branch`): what one
  refuses or rejects is not sent to the others again. Traces are held until all branches
  have answered.
* spans taken = delivered + lost by each reason + held, always. Delivered is what every
  branch took, lost what some branch never gets.
* ``on_delivered`` is called with the ids of traces when all branches have taken or
  finally rejected them; with our exporter that is when the backend has answered.

How it works: traces gather in an open batch, which is closed by its size or by its age
and then joins a queue; as many batches are under way as ``in_flight_max`` allows, each
with one delivery for each branch.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from tailring_pipeline import Consumer, Wakeups, branches_of
from tailring_runtime.logs import get_logger
from tailring_runtime.losses import Loss
from tailring_runtime.metrics import Metrics, MetricSpec
from tailring_runtime.tasks import TaskSet
from tailring_sampler.release_batch import HeldTrace, ReleaseBatch
from tailring_sampler.release_branch import Failures, ReleaseBranch
from tailring_sampler.release_settings import ReleaseSettings
from tailring_sampler.sampler import KeptTrace

__all__ = ["SPECS", "Release", "ReleaseSettings"]

# The reasons for losing what nobody has rejected: the process stopped, or a bug.
TERMINATED = "terminated"
INTERNAL = "internal"

DELIVERED = MetricSpec(
    "tailring_sampler_spans_delivered",
    "counter",
    "Spans of kept traces that every next component took.",
    unit="{spans}",
    labels=("processor",),
)
LOST = MetricSpec(
    "tailring_sampler_spans_lost",
    "counter",
    "Spans of kept traces that some next component never gets, by reason.",
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
    "Bytes of kept traces that wait, headers included; at the bound the sampler"
    " refuses spans.",
    unit="By",
    labels=("processor",),
)
SPECS = (DELIVERED, LOST, REFUSALS, HELD_SPANS, HELD_BYTES)


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
        self._metrics = metrics
        self._processor = processor
        self._on_delivered = on_delivered
        self._tasks = TaskSet(f"{processor} release", metrics=metrics)
        self._failures = failures = Failures(
            get_logger(processor=processor),
            metrics.counter(REFUSALS, processor=processor),
        )
        self._branches = [
            ReleaseBranch(
                one, settings=settings, failures=failures, answer=self._answer
            )
            for one in branches_of(consumer)
        ]
        self._open = self._new_batch()
        self._queue: deque[ReleaseBatch] = deque()
        self._linger: asyncio.TimerHandle | None = None
        self._under_way: set[ReleaseBatch] = set()
        self._changed = Wakeups()
        self._terminated = False
        self.spans_taken = 0
        self.spans_delivered = 0
        self.spans_held = 0
        self.bytes_held = 0
        # What was lost and not rejected.
        self._loss = Loss()
        self._delivered = metrics.counter(DELIVERED, processor=processor)
        self._lost: dict[str, int] = {}
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

    @property
    def loss(self) -> Loss:
        """What was lost by stopping, or by a bug; rejections are none."""
        return self._loss

    def offer(self, trace: KeptTrace) -> None:
        """Take a kept trace; the release owns it afterwards. Needs a running loop."""
        assert not self._terminated
        bytes_max = self._settings.batch_bytes_max
        held = self._open.add(trace, bytes_max=bytes_max)
        if held is None:
            self.close_batch()
            held = self._open.add(trace, bytes_max=bytes_max)
        assert held is not None, "the first trace of a batch is always taken"
        self.spans_taken += held.spans
        self._hold(held.spans, held.size_bytes)
        if (
            self._open.spans >= self._settings.batch_spans_max
            or self._open.size_bytes >= bytes_max
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
            self._open = self._new_batch()
        self._pump()

    def hurry(self) -> None:
        """A drain has begun: send again at once what was refused, and more often."""
        for branch in self._branches:
            branch.hurry()

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
        for held in self._owed():
            self._hold(-held.spans, -held.size_bytes)
            self._count_lost(held.spans, TERMINATED)
        self._under_way.clear()
        self._queue.clear()
        self._open = self._new_batch()
        self._failures.flush()

    def check_invariants(self) -> None:
        """Assert that every span taken is in one place."""
        left = self.spans_delivered + self.spans_lost
        assert self.spans_taken == left + self.spans_held
        owed = self._owed()
        assert self.spans_held == sum(held.spans for held in owed)
        assert self.bytes_held == sum(held.size_bytes for held in owed)
        assert len(self._under_way) <= self._settings.in_flight_max
        assert all(b.branches_left >= 1 for b in self._under_way)

    def _new_batch(self) -> ReleaseBatch:
        return ReleaseBatch(len(self._branches))

    def _owed(self) -> list[HeldTrace]:
        batches = (*self._under_way, *self._queue, self._open)
        return [held for b in batches for held in b.traces if held.branches_left]

    def _pump(self) -> None:
        while self._queue and len(self._under_way) < self._settings.in_flight_max:
            batch = self._queue.popleft()
            # Noted here and not by the task: one that is cancelled first never runs.
            self._under_way.add(batch)
            for branch in self._branches:
                self._tasks.spawn(self._run(batch, branch), name="deliver kept traces")

    async def _run(self, batch: ReleaseBatch, branch: ReleaseBranch) -> None:
        rest = list(batch.traces)
        try:
            await branch.deliver(batch, rest)
        except Exception:
            # A bug; the task set tells of it. The spans must not be held for ever.
            self._answer(rest, sum(held.spans for held in rest), INTERNAL)
            raise
        finally:
            if not self._terminated:
                batch.branches_left -= 1
                if not batch.branches_left:
                    self._under_way.discard(batch)
                self._changed.wake_all()
                self._pump()

    def _answer(self, traces: list[HeldTrace], lost: int, reason: str) -> None:
        """One branch has answered for these traces; ``lost`` spans it never gets.

        Nobody knows whose spans a rejected part is: the first traces are charged.
        """
        done: list[HeldTrace] = []
        for held in traces:
            mine = min(lost, held.spans)
            lost -= mine
            if mine > held.spans_lost:
                held.spans_lost, held.reason = mine, reason
            held.branches_left -= 1
            if not held.branches_left:
                done.append(held)
        if done:
            self._settle(done)

    def _settle(self, traces: list[HeldTrace]) -> None:
        """The one way out but for termination: every branch has answered."""
        spans = sum(held.spans for held in traces)
        self._hold(-spans, -sum(held.size_bytes for held in traces))
        lost = 0
        for held in traces:
            if held.spans_lost:
                lost += held.spans_lost
                self._count_lost(held.spans_lost, held.reason)
        self._count_delivered(spans - lost)
        if self._on_delivered is None:
            return
        try:
            self._on_delivered([held.trace.trace_id for held in traces])
        except Exception as error:
            # Its bug must cost no span, and it owes us nothing.
            self._failures.log.error("a listener failed", exc_info=error)

    def _count_delivered(self, spans: int) -> None:
        self.spans_delivered += spans
        self._delivered.add(spans)

    def _count_lost(self, spans: int, reason: str) -> None:
        """Some or all spans of one trace."""
        self._lost[reason] = self._lost.get(reason, 0) + spans
        if reason in (TERMINATED, INTERNAL):
            self._loss += Loss(spans, traces=1)
        counter = self._metrics.counter(LOST, processor=self._processor, reason=reason)
        counter.add(spans)

    def _hold(self, spans: int, size_bytes: int) -> None:
        self.spans_held += spans
        self.bytes_held += size_bytes
        self._held_spans.add(spans)
        self._held_bytes.add(size_bytes)
