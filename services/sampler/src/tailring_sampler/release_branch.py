"""The way of kept traces to one consumer.

Rules:

* What is refused is sent again until it is taken, and only what remains of it.
* What is rejected for what may be in it is sent again in halves, and those again, until
  the poisonous trace is alone (`Halving`): it costs no other, and of a thousand traces
  some twenty requests. A trace that is rejected alone is lost by name.
* The traces of a batch are answered for in their order, each exactly once.

No task of its own: whoever delivers waits, and its cancellation ends the sending.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from tailring_pipeline import (
    HURRIED_WAIT_MAX_S,
    Backoff,
    Batch,
    Consumer,
    FailureLog,
    Halving,
    Refused,
    Rejected,
    Wakeups,
    delivery_of,
    is_suspect,
)
from tailring_runtime.metrics import Counter
from tailring_sampler.release_batch import HeldTrace, ReleaseBatch
from tailring_sampler.release_settings import ReleaseSettings

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["Answer", "Failures", "ReleaseBranch"]

SECOND_NS = 1_000_000_000

# Traces, how many of their spans the branch never gets, and why.
Answer = Callable[[list[HeldTrace], int, str], None]


class Failures:
    """Where all branches of a release tell what went wrong."""

    def __init__(self, log: FilteringBoundLogger, refusals: Counter) -> None:
        self.log = log
        self.refusals = refusals
        self.rejections = FailureLog("Kept traces were rejected.", log=log)
        self.waiting = FailureLog("Kept traces wait.", log=log, level="warning")

    def flush(self) -> None:
        """Tell what was not told yet."""
        self.rejections.flush()
        self.waiting.flush()


class ReleaseBranch:
    """See the module's rules. ``answer`` is called while a batch is delivered."""

    def __init__(
        self,
        consumer: Consumer,
        *,
        settings: ReleaseSettings,
        failures: Failures,
        answer: Answer,
    ) -> None:
        self._consumer = consumer
        self._settings = settings
        self._failures = failures
        self._answer = answer
        self._retries = Wakeups()
        self._hurried = False

    def hurry(self) -> None:
        """Send again at once what was refused, and more often from now on."""
        self._hurried = True
        self._retries.wake_all()

    async def deliver(self, batch: ReleaseBatch, rest: list[HeldTrace]) -> None:
        """Deliver the traces of a batch.

        ``rest`` holds them at first and shrinks from the front: what is in it has not
        been answered for.
        """
        halving = Halving(rest)
        while traces := halving.take():
            rejected = await self._send(batch, traces)
            spans = sum(held.spans for held in traces)
            if is_suspect(rejected, spans) and halving.split(traces):
                continue
            del rest[: len(traces)]
            if rejected is None:
                self._answer(traces, 0, "")
                continue
            lost = spans if rejected.items is None else min(rejected.items, spans)
            self._failures.rejections.failed(rejected, lost)
            self._answer(traces, lost, "rejected")

    async def _send(
        self, batch: ReleaseBatch, traces: list[HeldTrace]
    ) -> Rejected | None:
        """Send some traces of a batch, however often they are refused.

        An answer without a number of items means that nothing of them was taken.
        """
        requests = batch.requests(traces, bytes_max=self._settings.batch_bytes_max)
        last: Rejected | None = None
        lost = 0
        for request in requests:
            # The next one of a giant trace takes some time to make.
            await asyncio.sleep(0)
            rejected = await self._send_request(request)
            if rejected is not None:
                last = rejected
                lost += rejected.items_of(request)
        if last is None:
            return None
        items = None if lost == sum(held.spans for held in traces) else lost
        return Rejected(last.reason, last.detail, items=items)

    async def _send_request(self, request: Batch) -> Rejected | None:
        backoff = Backoff(self._settings.retry)
        failures = self._failures
        while True:
            outcome = await delivery_of(request, self._consumer, log=failures.log)
            if outcome is None or isinstance(outcome, Rejected):
                return _counted(outcome, request)
            failures.refusals.add()
            failures.waiting.failed(outcome, outcome.items_of(request))
            request = outcome.remaining or request
            await self._retries.wait(self._delay_s(backoff, outcome))

    def _delay_s(self, backoff: Backoff, refused: Refused) -> float:
        delay_ns = backoff.next_delay_ns(
            0,
            jitter=random.random(),
            retry_after_ns=int(refused.retry_after_s * SECOND_NS),
        )
        assert delay_ns is not None, "a release never gives up"
        delay_s = delay_ns / SECOND_NS
        if self._hurried:
            delay_s = min(delay_s, max(HURRIED_WAIT_MAX_S, refused.retry_after_s))
        return delay_s


def _counted(rejected: Rejected | None, request: Batch) -> Rejected | None:
    """The rejection with the number of items, of what was left of the request."""
    if rejected is None:
        return None
    items = rejected.items_of(request)
    return Rejected(rejected.reason, rejected.detail, items=items)
