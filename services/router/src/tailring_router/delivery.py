"""A request on its way to all of its backends.

What it is: level 1 of the resiliency without its queue. A request is partitioned,
every part goes to its forwarder, and what comes back is dealt with here:

* delivered: done, and never sent again;
* moved: partitioned again at once, on the ring of this moment;
* failed, which includes that its backend had no room: partitioned again after a
  backoff, if level 1 retries; else the sender is told to send again (`Refused`), or, if
  it was told already that all is well, the loss is counted by name;
* rejected: counted; the sender learns how many items were refused for good.

Every item of the request leaves by exactly one door (`Door`), whatever happens,
also when the sender stops waiting. A part is dealt with as soon as its forwarder is
done with it, it never waits for the other parts of its request. When the sender will
send the whole request again, because he was refused or has left, it is remembered what
of it remains to be sent (`Repeats`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial

from tailring_pipeline import Backoff, Batch, Refused, Rejected, RetryConfig
from tailring_router.fleet import Fleet
from tailring_router.metrics import Door, RouterMetrics
from tailring_router.part import (
    GONE,
    STOPPED,
    UNROUTABLE,
    Outcome,
    Part,
    Result,
    now_ns,
)
from tailring_router.repeats import Remains, Repeats, is_late, key_of
from tailring_router.rests import Rest

__all__ = ["Delivery", "Dispatcher"]

# What an acknowledged request waits between two looks for a backend, when level 1
# does not retry: to have no backend yet is not a try.
LOOK_AGAIN_S = 1.0


class Dispatcher:
    """Begins deliveries; what all of them share."""

    def __init__(
        self,
        fleet: Fleet,
        *,
        retry: RetryConfig,
        metrics: RouterMetrics,
        acknowledged: bool = False,
    ) -> None:
        """``acknowledged``: who hands batches in has answered for them, in a queue that
        bounds them; they are taken over the limits and wait for a backend."""
        self.fleet = fleet
        self.retry = retry
        self.metrics = metrics
        self.acknowledged = acknowledged
        self.repeats = Repeats()
        self._open: set[Delivery] = set()
        metrics.watch_held(self.held_items)

    def begin(self, batch: Batch) -> Delivery:
        """Give every backend its part. Raises `Rejected` for malformed bytes."""
        self.metrics.received.add(batch.items)
        self.fleet.watch_open(len(self._open) + 1)
        at_ns = now_ns()
        known = self.repeats.take(batch.payload, at_ns)
        try:
            parts = self._dispatch(batch, known, at_ns)
        except Rejected:
            self.metrics.left(Door.REJECTED, batch.items)
            raise
        following: list[Part] = []
        if known is not None:
            parts += known.settled()
            following += [self.fleet.follow(it, now_ns=at_ns) for it in known.flying]
        delivery = Delivery(self, batch, parts=parts, following=following)
        if delivery.held_items:
            self._open.add(delivery)
        return delivery

    def _dispatch(self, batch: Batch, known: Remains | None, at_ns: int) -> list[Part]:
        if known is not None:
            batch = known.remaining
            if not batch.items:
                return []  # it has arrived, whether there is a backend now or not
        return self.fleet.dispatch(batch.payload, now_ns=at_ns, held=self.acknowledged)

    def ended(self, delivery: Delivery) -> None:
        """A delivery holds nothing any more."""
        self._open.discard(delivery)
        self.fleet.watch_open(len(self._open))

    def held_items(self) -> int:
        """Spans that were received and have not left, counted where they are."""
        return sum(delivery.held_items for delivery in self._open)


class Delivery:
    """The parts of one request until each has left."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        batch: Batch,
        *,
        parts: list[Part],
        following: list[Part],
    ) -> None:
        """``following`` waits for the fate of the same bytes and was sent to nobody."""
        self._request = None if dispatcher.acknowledged else batch  # may come again
        self._items = batch.items
        self._began_ns = now_ns()
        self._key = b""
        self._following = set(following)
        self._dispatcher = dispatcher
        self._fleet = dispatcher.fleet
        self._metrics = dispatcher.metrics
        self._open: set[Part] = set()
        self._resting: dict[Part, Rest] = {}
        self._backoffs: dict[Part, Backoff] = {}
        self._failed: list[Part] = []
        self._failure: Result | None = None
        self._given_back_items = 0
        self._refused: dict[str, tuple[Result, int]] = {}
        # Set when nobody waits any more: the door of what has not arrived.
        self._gone_by: Door | None = None
        self._gone: list[Part] = []
        self._then: Callable[[Delivery], None] | None = None
        loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = loop.create_future()
        # True when a backend had no room, or none is known: no ground to acknowledge.
        self.turned_away = any(map(_failed_already, parts))
        for part in (*parts, *following):
            self._watch(part)
        self._settle()

    @property
    def held_items(self) -> int:
        """Spans that have not left: on their way, resting, or failed and not told."""
        return sum(part.items for part in (*self._open, *self._resting, *self._failed))

    @property
    def loss(self) -> Result | None:
        """Why items were lost: the failure, else the refusal for good, if any."""
        return self._failure or self._refusal

    @property
    def lost_items(self) -> int:
        """Spans that were not delivered, once every part has left."""
        return self._given_back_items + self._rejected_items

    @property
    def _refusal(self) -> Result | None:
        told = list(self._refused.values())
        return told[-1][0] if told else None

    @property
    def _rejected_items(self) -> int:
        return sum(items for _, items in self._refused.values())

    async def finish(self) -> None:
        """Wait until every part has left, for a sender that still waits.

        Raises `Refused` when some items were not delivered and may be sent again
        (``remaining`` holds them) and `Rejected` when items were refused for good
        (``items``: how many). Cancelled: what was not sent yet is withdrawn.
        """
        try:
            await self._done
        except asyncio.CancelledError:
            self._withdraw(Door.ABANDONED)
            raise
        if self._gone:
            raise Refused(GONE.reason, GONE.detail, remaining=self._remaining())
        if self._failure is not None:
            self._remember()
            remaining = self._remaining()
            self._give_back(Door.REFUSED)
            raise Refused(
                self._failure.reason,
                self._failure.detail,
                retry_after_s=self._failure.retry_after_s,
                remaining=remaining,
            )
        if is_late(self._request, began_ns=self._began_ns, now_ns=now_ns()):
            self._remember()
        if self._refusal is not None:
            raise Rejected(
                self._refusal.reason, self._refusal.detail, items=self._rejected_items
            )

    def sender_left(self, *, takes_back: bool = False) -> None:
        """The sender stopped waiting, and `finish` is awaited by somebody else, who is
        told with `Refused` what was not delivered. ``takes_back``: it is for a later
        attempt, and not lost."""
        if not self._done.done():
            self._withdraw(Door.REFUSED if takes_back else Door.ABANDONED)
        elif self._failure is None:
            self._remember()  # else `finish` does, with what remains

    def acknowledge(self, then: Callable[[Delivery], None]) -> None:
        """The sender is answered now: from here on what fails is lost, and counted
        as that. ``then`` is called once, when every part has left."""
        self._then = then
        self._request = None
        if self._done.done():
            self._finish_acknowledged()

    def abandon(self) -> None:
        """The router stops: what an acknowledged delivery still holds is lost."""
        self._then = None
        self._withdraw(Door.SHUTDOWN)

    def _finish_acknowledged(self) -> None:
        if self._failure is not None:
            stopped = self._failure.reason == "shutdown"
            self._give_back(Door.SHUTDOWN if stopped else Door.EXPIRED)
        if self._then is not None:
            self._then(self)

    def _give_back(self, door: Door) -> None:
        """What has failed leaves, once."""
        items = sum(part.items for part in self._failed)
        self._given_back_items += items
        self._metrics.left(door, items)
        self._failed = []
        self._dispatcher.ended(self)

    def _watch(self, part: Part) -> None:
        self._open.add(part)
        part.result.add_done_callback(partial(self._resolved, part))

    def _settle(self) -> None:
        if self._open or self._resting:
            return
        if not self._failed:
            self._dispatcher.ended(self)
        if self._key:
            self._dispatcher.repeats.settled(self._key, self, now_ns())
            self._key = b""
        if not self._done.done():
            self._done.set_result(None)
            if self._then is not None:
                self._finish_acknowledged()

    def _resolved(self, part: Part, answer: asyncio.Future[Result]) -> None:
        """A part's fate is known; called on the event loop."""
        if part not in self._open:
            return  # withdrawn
        self._open.discard(part)
        result = answer.result()
        if result.outcome in (Outcome.DELIVERED, Outcome.REPEATED, Outcome.REJECTED):
            self._leave(part, result)
        elif self._gone_by is not None:
            self._leave_by(self._gone_by, [part])
        elif result.outcome is Outcome.MOVED:
            if part not in self._following:
                self._metrics.moved.add(part.items)
            self._reroute(part)
        else:
            self._rest(part, result)
        self._settle()

    def _leave(self, part: Part, result: Result) -> None:
        rejected = result.rejected
        if result.outcome is Outcome.REJECTED:
            rejected = part.items
        if rejected:
            _, items = self._refused.pop(result.reason, (result, 0))
            self._refused[result.reason] = (result, items + rejected)
        repeated = result.outcome is Outcome.REPEATED
        unroutable = result.reason == UNROUTABLE
        self._metrics.left(Door.UNROUTABLE if unroutable else Door.REJECTED, rejected)
        self._metrics.left(
            Door.REPEATED if repeated else Door.DELIVERED, part.items - rejected
        )
        self._backoffs.pop(part, None)

    def _rest(self, part: Part, result: Result) -> None:
        """Route a failed part again later, if level 1 retries; else it has failed."""
        backoff = self._backoffs.pop(part, None)
        delay_s = None
        if self._fleet.closed:
            result = STOPPED
        else:
            backoff = backoff or Backoff(self._dispatcher.retry)
            delay_s = self._delay_s(backoff, result)
        if delay_s is None:
            told = self._failure
            if told is None or told.retry_after_s < result.retry_after_s:
                self._failure = result  # the longest wait is told
            self._failed.append(part)
            return
        if backoff is not None:
            self._backoffs[part] = backoff
        self._resting[part] = self._fleet.rest(
            part,
            delay_s,
            partial(self._rested, part),
            # Who waits for an answer sends nothing more; who was answered does.
            takes_room=self._then is not None,
            patient=result.retry_after_s > 0,
        )

    def _delay_s(self, backoff: Backoff, result: Result) -> float | None:
        if self._dispatcher.acknowledged and result.reason == "no_backends":
            return LOOK_AGAIN_S
        if not self._dispatcher.retry.enabled:
            return None
        delay_ns = backoff.next_delay_ns(
            now_ns(),
            jitter=random.random(),
            retry_after_ns=int(result.retry_after_s * 1e9),
        )
        return None if delay_ns is None else delay_ns / 1e9

    def _rested(self, part: Part) -> None:
        del self._resting[part]
        self._metrics.retried.add(part.items)
        self._reroute(part)
        self._settle()

    def _reroute(self, part: Part) -> None:
        """Partition a part again, on the ring of this moment."""
        backoff = self._backoffs.pop(part, None)
        parts = self._fleet.dispatch(
            part.payload, now_ns=now_ns(), held=True, origin=part
        )
        for successor in parts:
            if backoff is not None:
                self._backoffs[successor] = backoff
            self._watch(successor)

    def _withdraw(self, door: Door) -> None:
        """Nobody waits any more: what is not in flight leaves by ``door``; the fate of
        what is will be known, and it is not tried again."""
        self._gone_by = door
        for rest in self._resting.values():
            rest.cancel()
        gone = [*self._resting, *self._failed]
        self._resting.clear()
        self._failed = []
        for part in list(self._open):
            if part.result.done():
                continue  # its fate is known, and told in a moment
            if door is Door.SHUTDOWN or self._is_withdrawn(part):
                self._open.discard(part)
                gone.append(part)
        self._leave_by(door, gone)
        self._remember()
        self._settle()

    def _is_withdrawn(self, part: Part) -> bool:
        """Whether nobody has sent it."""
        return part not in self._following and self._fleet.abandon(part)

    def _leave_by(self, door: Door, parts: list[Part]) -> None:
        self._gone += parts
        self._metrics.left(door, sum(part.items for part in parts))

    def remains(self) -> Remains:
        """What is to be done when the same request comes again; see `Repeats`."""
        return Remains(
            self._items,
            self._remaining(),
            refused=tuple(self._refused.values()),
            flying=tuple(self._open),
        )

    def _remaining(self) -> Batch:
        """What has not arrived, and is on its way no more."""
        parts = [*self._gone, *self._failed]
        payload = b"".join([part.payload for part in parts])
        items = sum(part.items for part in parts)
        return Batch(payload, items, self._metrics.signal)

    def _remember(self) -> None:
        """The sender may send the same bytes again."""
        if self._request is None:
            return
        key = key_of(self._request.payload)
        self._request = None
        if self._open:
            self._key = key
            self._dispatcher.repeats.await_fate(key, self)
        else:
            self._dispatcher.repeats.keep(key, self.remains(), now_ns())


def _failed_already(part: Part) -> bool:
    return part.result.done() and part.result.result().outcome is Outcome.FAILED
