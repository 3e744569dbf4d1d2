"""The way to one backend: what waits for it, and the requests that it is sent.

What it is: level 2 of the resiliency, one forwarder a backend. Its rules:

* Under load, parts are gathered for some milliseconds (`pace`) or up to a target size
  and sent as one request (concatenated encoded requests are their merge); an idle
  forwarder sends at once. The connection is made with the first request.
* At most ``sends_max`` requests are in flight or between two tries (`sending`). The
  first that succeeds after the backend was away wakes those that wait, and so does
  `hurry`.
* `hand_back` and `retire` resolve what was not delivered as *moved*: whoever routed it
  partitions it again, on the ring of that moment. Of much that happens in slices
  (`shared`). What is in flight is not sent to another backend before its fate is known,
  or its backend is given up.
* Every part is resolved exactly once.

States: open -> retiring -> closed, or open -> closed. Only an open one takes parts.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from enum import Enum

from tailring_router.backlog import Backlog
from tailring_router.client import Client, ForwarderSettings
from tailring_router.line import Line
from tailring_router.metrics import BackendMetrics
from tailring_router.part import GONE, MOVED, STOPPED, Outcome, Part, Result
from tailring_router.sending import Sending
from tailring_router.shared import Shared
from tailring_runtime.logs import get_logger
from tailring_runtime.tasks import TaskSet

__all__ = ["Forwarder"]

log = get_logger()


class _State(Enum):
    OPEN = "open"
    RETIRING = "retiring"
    CLOSED = "closed"


class Forwarder:
    """The way to one backend. Owned by the fleet; lives on one event loop."""

    def __init__(
        self,
        address: str,
        connect: Callable[[str], Client],
        *,
        settings: ForwarderSettings,
        metrics: BackendMetrics,
        fleet: Shared | None = None,
    ) -> None:
        """``connect`` is called once, when the first request is sent."""
        shared = self._shared = fleet or Shared()
        self.address = address
        self._settings = settings
        self._pace = shared.pace
        self._line = Line(
            address,
            connect,
            settings=settings,
            metrics=metrics,
            fleet=shared,
        )
        self._backlog = Backlog(
            sizer=settings.sizer,
            size_max=settings.queue_max,
            bytes_max=settings.queue_bytes_max,
            total=shared.total,
        )
        self._state = _State.OPEN
        self._tasks = TaskSet("forwarder")
        self._loop = asyncio.get_running_loop()
        self._flush_handle: asyncio.Handle | None = None
        self._flush_soon = False
        self._flushed_at = -math.inf
        self._idle = asyncio.Event()
        self._idle.set()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def suspected(self) -> bool:
        """True when the last try found nobody at the address."""
        return self._line.suspected

    @property
    def state(self) -> str:
        """A word for people: open, suspected, retiring or closed."""
        if self._state is _State.OPEN and self.suspected:
            return "suspected"
        return self._state.name.lower()

    @property
    def last_failure(self) -> tuple[Result, float] | None:
        """The last try that failed, and when by the loop's clock."""
        return self._line.last_failure

    @property
    def full(self) -> bool:
        """True when `offer` may not be given a part that nobody holds yet."""
        return self._state is not _State.OPEN or self._backlog.full

    @property
    def held_items(self) -> int:
        """Spans that were taken and neither resolved nor moved yet."""
        sent = sum(part.items for each in self._line.sendings for part in each.open)
        return self._backlog.items + sent

    @property
    def queue_size(self) -> int:
        """What waits and is not in flight, in the unit of the sizer."""
        return self._backlog.size

    @property
    def queue_capacity(self) -> int:
        """What may wait, in the unit of the sizer."""
        return self._settings.queue_max

    @property
    def sends(self) -> int:
        """Requests in flight or between two tries."""
        return len(self._line.sendings)

    async def wait_room(self) -> None:
        """Wait until the backlog was seen under its limits; it may be full again."""
        await self._room.wait()

    def offer(self, part: Part) -> None:
        """Take a part. The caller has asked `full`, or brings a part that is held
        already. A retiring forwarder resolves it as moved, a closed one as failed."""
        if self._state is not _State.OPEN:
            part.resolve(MOVED if self._state is _State.RETIRING else STOPPED)
            return
        self._backlog.append(part)
        self._idle.clear()
        if self._backlog.full:
            self._room.clear()
        self._schedule()

    def turn_away(self, part: Part) -> None:
        """Fail a part that there is no room for."""
        detail = f"the queue of backend {self.address} is full"
        full = Result(Outcome.FAILED, "queue_full", detail)
        self._line.turns_away(full, part.items)
        part.resolve(full)

    def abandon(self, part: Part) -> bool:
        """The sender of a part stopped waiting. True: it was not in flight and is
        given up; False: it is, and will be resolved when its fate is known."""
        part.abandoned = True
        if part in self._backlog:
            self._backlog.remove(part)
            part.resolve(GONE)
            self._make_room()
            self._settle()
            return True
        owners = [each for each in self._line.sendings if part in each.open]
        return all(each.abandon(part) for each in owners)

    def rest(self, part: Part) -> None:
        """A part that was given up here waits for another try of level 1; until
        `rested` it takes room here, for its sender was answered and sends more."""
        self._backlog.rest(part)
        if self._backlog.full:
            self._room.clear()

    def rested(self, part: Part) -> None:
        """It is tried now, or nobody waits for it any more."""
        self._backlog.rested(part)
        self._make_room()

    def hurry(self) -> None:
        """Try at once what waits for a retry, and wait only briefly from now on."""
        self._line.hurries = True
        self._line.wake()

    def hand_back(self) -> None:
        """Resolve everything that is not in flight as moved, in slices; what is in
        flight will be, should it fail."""
        self._line.epoch += 1
        self._shared.move(self._backlog.clear())
        self._make_room()
        self._line.wake()
        self._settle()

    async def retire(self, timeout_s: float) -> None:
        """Send what is held for at most ``timeout_s``, hand back the rest, close.

        A request still in flight gets the time of one call; if that has no limit, its
        parts are moved although they may arrive.
        """
        if self._state is _State.OPEN:
            self._state = _State.RETIRING
            self._line.leaving = True
            self._room.set()
            self._line.wake()
            if not await self.wait_idle(timeout_s):
                self._line.ended = True
                self.hand_back()
                await self.wait_idle(self._settings.timeout_s + 1.0)
        await self._close(MOVED)

    async def close(self) -> None:
        """Abandon what is held, resolved as failed, and the connection."""
        await self._close(STOPPED)

    async def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing is held; False when ``timeout_s`` passed before."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def check_invariants(self) -> None:
        """Assert the rules of the module. Slow: for tests and simulation."""
        self._backlog.check_invariants()
        assert self.sends <= self._settings.sends_max
        assert self._idle.is_set() == (not self.sends and not len(self._backlog))
        if self._state is _State.CLOSED:
            assert not self.held_items

    async def _close(self, verdict: Result) -> None:
        # Each step may be done twice: who closes may be cancelled in the middle.
        self._state = _State.CLOSED
        self._room.set()
        if self._flush_handle is not None:
            self._flush_handle.cancel()
        for part in self._backlog.clear():
            part.resolve(verdict)
        for sending in list(self._line.sendings):
            sending.drop(verdict)
        await self._tasks.close()
        self._line.sendings.clear()
        self._settle()
        await self._line.close()

    def _schedule(self) -> None:
        """Arrange for the backlog to be sent: now, or when enough was gathered."""
        if self.sends >= self._settings.sends_max or not len(self._backlog):
            return
        delay_s = self._delay_s(self._loop.time())
        if self._flush_handle is not None:
            if delay_s or self._flush_soon:
                return
            self._flush_handle.cancel()
        self._flush_soon = not delay_s
        self._flush_handle = (
            self._loop.call_later(delay_s, self._flush)
            if delay_s
            else self._loop.call_soon(self._flush)
        )

    def _delay_s(self, now_s: float) -> float:
        """How long the backlog may wait for more."""
        settings = self._settings
        if self._backlog.size_bytes >= settings.gather_bytes:
            return 0.0
        if 0 < settings.gather_items <= self._backlog.items:
            return 0.0
        linger_s = self._pace.linger_s(settings.linger_s, now_s)
        idle = not self.sends and now_s - self._flushed_at > linger_s
        return 0.0 if idle and self._pace.calm(now_s) else linger_s

    def _flush(self) -> None:
        self._flush_handle = None
        self._flushed_at = self._loop.time()
        while len(self._backlog) and self.sends < self._settings.sends_max:
            most = self._line.window.bytes_max(self._settings.request_bytes_max)
            parts = self._backlog.take(most)
            sending = Sending(self._line, parts)
            self._line.sendings.add(sending)
            self._pace.sent(self._flushed_at)
            self._tasks.spawn(self._send(sending), name=f"send {self.address}")
        self._make_room()

    async def _send(self, sending: Sending) -> None:
        try:
            await sending.run()
        except Exception as error:
            log.exception("sending to a backend failed", backend=self.address)
            sending.fail(Result(Outcome.FAILED, "internal", repr(error)))
        finally:
            sending.drop(STOPPED)  # only what a cancelled task left open
            self._line.sendings.discard(sending)
            self._settle()
            self._schedule()

    def _make_room(self) -> None:
        if not self._backlog.full:
            self._room.set()

    def _settle(self) -> None:
        if not self.sends and not len(self._backlog):
            self._idle.set()
