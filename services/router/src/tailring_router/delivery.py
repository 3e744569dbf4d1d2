"""A request on its way to all of its backends.

What it is: level 1 of the resiliency without its queue. A request is partitioned,
every part goes to its forwarder, and what comes back is dealt with here:

* delivered: done, and never sent again;
* moved: partitioned again at once, on the ring of this moment;
* failed: partitioned again after a backoff, if level 1 retries; else the sender is
  told to send again (`Refused`), or, if it was told already that all is well, the
  loss is counted by name;
* rejected: counted; the sender learns how many spans were refused for good.

Every span of the request leaves by exactly one door (`Door`), whatever happens,
also when the sender stops waiting. A part is dealt with as soon as its forwarder is
done with it, it never waits for the other parts of its request.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial

from tailring_pipeline import Backoff, Batch, Refused, Rejected, RetryConfig
from tailring_router.fleet import Fleet, Rest
from tailring_router.metrics import Door, RouterMetrics
from tailring_router.part import Outcome, Part, Result, now_ns

__all__ = ["Delivery", "Dispatcher"]


class Dispatcher:
    """Begins deliveries; what all of them share."""

    def __init__(
        self, fleet: Fleet, *, retry: RetryConfig, metrics: RouterMetrics
    ) -> None:
        self.fleet = fleet
        self.retry = retry
        self.metrics = metrics

    def begin(self, batch: Batch) -> Delivery:
        """Give every backend its part, or none to any.

        Raises `Refused` or `Rejected`; then nothing was given to anybody and the
        spans have left by that door.
        """
        self.metrics.received.add(batch.items)
        try:
            parts = self.fleet.dispatch(batch.payload, now_ns=now_ns())
        except Refused:
            self.metrics.left(Door.REFUSED, batch.items)
            raise
        except Rejected:
            self.metrics.left(Door.REJECTED, batch.items)
            raise
        return Delivery(self, parts)


class Delivery:
    """The parts of one request until each has left."""

    def __init__(self, dispatcher: Dispatcher, parts: list[Part]) -> None:
        self._fleet = dispatcher.fleet
        self._retry = dispatcher.retry
        self._metrics = dispatcher.metrics
        self._open: set[Part] = set()
        self._resting: dict[Part, Rest] = {}
        self._backoffs: dict[Part, Backoff] = {}
        self._failed_spans = 0
        self._failure: Result | None = None
        self._rejected_spans = 0
        self._refusal: Result | None = None
        loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = loop.create_future()
        self._then: Callable[[Delivery], None] | None = None
        for part in parts:
            self._watch(part)
        self._settle()

    async def finish(self) -> None:
        """Wait until every part has left, for a sender that still waits.

        Raises `Refused` when some spans were not delivered and may be sent again
        and `Rejected` when spans were refused for good (``items``: how many).
        Cancelled: what was not sent yet is withdrawn.
        """
        try:
            await self._done
        except asyncio.CancelledError:
            self._withdraw()
            raise
        if self._failure is not None:
            self._give_back(Door.REFUSED)
            raise Refused(
                self._failure.reason,
                self._failure.detail,
                retry_after_s=self._failure.retry_after_s,
            )
        if self._refusal is not None:
            raise Rejected(
                self._refusal.reason, self._refusal.detail, items=self._rejected_spans
            )

    def acknowledge(self, then: Callable[[Delivery], None]) -> None:
        """The sender is answered now: from here on what fails is lost, and counted
        as that. ``then`` is called once, when every part has left."""
        self._then = then
        if self._done.done():
            self._finish_acknowledged()

    def abandon(self) -> None:
        """The router stops: what an acknowledged delivery still holds is lost."""
        self._then = None
        self._metrics.left(Door.SHUTDOWN, self._withdrawn())

    @property
    def held_spans(self) -> int:
        """Spans that have not left: on their way, resting, or failed and not told."""
        held = sum(part.spans for part in (*self._open, *self._resting))
        return held + self._failed_spans

    @property
    def loss(self) -> Result | None:
        """Why spans were lost: the failure, else the refusal for good, if any."""
        return self._failure or self._refusal

    def _finish_acknowledged(self) -> None:
        if self._failure is not None:
            stopped = self._failure.reason == "shutdown"
            door = Door.SHUTDOWN if stopped else Door.EXPIRED
            self._give_back(door)
        if self._then is not None:
            self._then(self)

    def _give_back(self, door: Door) -> None:
        """What has failed leaves, once."""
        self._metrics.left(door, self._failed_spans)
        self._failed_spans = 0

    def _watch(self, part: Part) -> None:
        self._open.add(part)
        part.result.add_done_callback(partial(self._resolved, part))

    def _settle(self) -> None:
        if not self._open and not self._resting and not self._done.done():
            self._done.set_result(None)
            if self._then is not None:
                self._finish_acknowledged()

    def _resolved(self, part: Part, answer: asyncio.Future[Result]) -> None:
        """A forwarder is done with a part; called on the event loop."""
        if part not in self._open:
            return  # withdrawn
        self._open.discard(part)
        result = answer.result()
        if result.outcome is Outcome.MOVED:
            self._reroute(part)
        elif result.outcome is Outcome.FAILED:
            self._rest(part, result)
        else:
            self._leave(part, result)
        self._settle()

    def _leave(self, part: Part, result: Result) -> None:
        rejected = result.rejected
        if result.outcome is Outcome.REJECTED:
            rejected = part.spans
        if rejected:
            self._refusal = result
            self._rejected_spans += rejected
        self._metrics.left(Door.REJECTED, rejected)
        self._metrics.left(Door.DELIVERED, part.spans - rejected)
        self._backoffs.pop(part, None)

    def _rest(self, part: Part, result: Result) -> None:
        """Route a failed part again later, if level 1 retries; else it has failed."""
        delay_ns = None
        backoff = self._backoffs.pop(part, None) or Backoff(self._retry)
        if self._retry.enabled and result.reason != "shutdown":
            delay_ns = backoff.next_delay_ns(
                now_ns(),
                jitter=random.random(),
                retry_after_ns=int(result.retry_after_s * 1e9),
            )
        if delay_ns is None:
            self._failure = result
            self._failed_spans += part.spans
            return
        self._backoffs[part] = backoff
        self._resting[part] = self._fleet.rest(
            delay_ns / 1e9, partial(self._rested, part)
        )

    def _rested(self, part: Part) -> None:
        del self._resting[part]
        self._reroute(part)
        self._settle()

    def _reroute(self, part: Part) -> None:
        """Partition a part again, on the ring of this moment."""
        self._metrics.moved.add(part.spans)
        backoff = self._backoffs.pop(part, None)
        try:
            parts = self._fleet.dispatch(part.payload, now_ns=now_ns(), held=True)
        except Refused as refused:
            # No backend is left: as if its backend could not be reached.
            if backoff is not None:
                self._backoffs[part] = backoff
            self._rest(part, Result(Outcome.FAILED, refused.reason, refused.detail))
            return
        for successor in parts:
            if backoff is not None:
                self._backoffs[successor] = backoff
            self._watch(successor)

    def _withdraw(self) -> None:
        """The sender stopped waiting: what is not sent yet is not sent."""
        self._metrics.left(Door.ABANDONED, self._withdrawn())

    def _withdrawn(self) -> int:
        """Take back every part; the spans of those that were not delivered."""
        spans, self._failed_spans = self._failed_spans, 0
        for rest in self._resting.values():
            rest.cancel()
        spans += sum(part.spans for part in self._resting)
        self._resting.clear()
        while self._open:
            part = self._open.pop()
            if not part.result.cancel() and _is_final(part.result.result()):
                self._leave(part, part.result.result())
            else:
                spans += part.spans
        return spans


def _is_final(result: Result) -> bool:
    return result.outcome in (Outcome.DELIVERED, Outcome.REJECTED)
