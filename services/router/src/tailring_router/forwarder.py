"""Sends parts to one backend: coalesced, several at a time, retried with backoff.

What it is: level 2 of the resiliency, one forwarder a backend. Its rules:

* Under load, parts are gathered for a few milliseconds or up to a target size and
  sent as one request (concatenated encoded requests are their merge); an idle
  forwarder sends at once.
* A request that fails in a way that may pass is sent again after a backoff, while
  retry allows it; the next request that succeeds wakes those that wait.
* `hand_back` and `retire` resolve what was not sent as *moved*: whoever routed it
  partitions it again, on the ring of that moment. What is in flight is never sent
  to another backend before its fate is known, and a delivered part never again.
* A request that joined several parts and is refused for good is sent again part by
  part, once, so that one bad part does not take the others with it.
* Every part is resolved exactly once.

States: open -> retiring -> closed, or open -> closed. Only an open one takes parts.
"""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from tailring_otlpio import SPLIT_REASONS
from tailring_pipeline import Backoff, Refused, Rejected, RetryConfig, Sizer
from tailring_router.backlog import Backlog
from tailring_router.metrics import BackendMetrics
from tailring_router.part import DELIVERED, MOVED, Outcome, Part, Result, now_ns
from tailring_runtime.logs import get_logger
from tailring_runtime.tasks import TaskSet

__all__ = ["Client", "Forwarder", "ForwarderSettings"]


log = get_logger()

_STOPPED = Result(Outcome.FAILED, "shutdown", "the router is stopping")


class Client(Protocol):
    """One connection to a backend; see `tailring_otlpio.TraceClient`."""

    async def export(self, payload: bytes, *, timeout_s: float) -> int:
        """Deliver one request, or raise `Refused` or `Rejected`; spans not taken."""

    async def close(self) -> None:
        """Give up the connection."""


@dataclass(frozen=True, slots=True)
class ForwarderSettings:
    """Limits and times of a forwarder."""

    retry: RetryConfig
    timeout_s: float = 5.0
    sizer: Sizer = "requests"
    queue_max: int = 1000
    """What the backlog may hold, in the unit of ``sizer``."""
    queue_bytes_max: int = 64 << 20
    """And never more bytes than this: 1,000 requests of 64 MiB are no small queue."""
    sends_max: int = 10
    linger_s: float = 0.003
    """How long parts are gathered under load; 0 sends at once."""
    gather_bytes: int = 256 << 10
    """Gathered this much, they are sent without waiting longer."""
    request_bytes_max: int = 2 << 20
    """No request to a backend is made larger by joining."""


class _State(Enum):
    OPEN = "open"
    RETIRING = "retiring"
    CLOSED = "closed"


class Forwarder:
    """The way to one backend. Owned by the fleet; lives on one event loop."""

    def __init__(
        self,
        address: str,
        client: Client,
        *,
        settings: ForwarderSettings,
        metrics: BackendMetrics,
    ) -> None:
        self.address = address
        self.suspected = False
        self._client = client
        self._settings = settings
        self._metrics = metrics
        self._backlog = Backlog(
            sizer=settings.sizer,
            size_max=settings.queue_max,
            bytes_max=settings.queue_bytes_max,
        )
        self._state = _State.OPEN
        self._tasks = TaskSet("forwarder")
        self._loop = asyncio.get_running_loop()
        self._flush_handle: asyncio.Handle | None = None
        self._flush_soon = False
        self._flushed_at = -math.inf
        self._sends = 0
        self._sending_spans = 0
        # Bumped by `hand_back`; a try that fails after it is resolved as moved.
        self._epoch = 0
        self._sleepers: set[asyncio.Future[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def full(self) -> bool:
        """True when `offer` may not be given a part that nobody holds yet."""
        return self._state is not _State.OPEN or self._backlog.full

    @property
    def held_spans(self) -> int:
        """Spans that were taken and are not resolved yet."""
        return self._backlog.spans + self._sending_spans

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
        return self._sends

    async def wait_room(self) -> None:
        """Wait until the backlog was seen under its limits; it may be full again."""
        await self._room.wait()

    async def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing is held; False when ``timeout_s`` passed before."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def offer(self, part: Part) -> None:
        """Take a part. The caller has asked `full`, or brings a part that is held
        already. Once the forwarder is not open, the part is resolved as moved."""
        if self._state is not _State.OPEN:
            part.resolve(MOVED)
            return
        self._backlog.append(part)
        self._idle.clear()
        if self._backlog.full:
            self._room.clear()
        self._schedule()

    def hand_back(self) -> None:
        """Resolve everything that is not in flight as moved; what is in flight will
        be, should it fail."""
        self._epoch += 1
        for part in self._backlog.clear():
            part.resolve(MOVED)
        self._room.set()
        self._wake()
        self._settle()

    async def retire(self, timeout_s: float) -> None:
        """Send what is held for at most ``timeout_s``, hand back the rest, close."""
        if self._state is _State.OPEN:
            self._state = _State.RETIRING
            self._room.set()
            self._wake()
            if not await self.wait_idle(timeout_s):
                self.hand_back()
                # A request in flight ends within the timeout of its call.
                await self.wait_idle(self._settings.timeout_s + 1.0)
        await self.close()

    async def close(self) -> None:
        """Abandon what is held, resolved as failed, and the connection."""
        if self._state is _State.CLOSED:
            return
        self._state = _State.CLOSED
        self._room.set()
        if self._flush_handle is not None:
            self._flush_handle.cancel()
        for part in self._backlog.clear():
            part.resolve(_STOPPED)
        await self._tasks.close()
        await self._client.close()

    def check_invariants(self) -> None:
        """Assert the rules of the module. Slow: for tests and simulation."""
        self._backlog.check_invariants()
        assert 0 <= self._sends <= self._settings.sends_max
        assert (self._sending_spans > 0) == (self._sends > 0)
        assert len(self._sleepers) <= self._sends
        assert self._idle.is_set() == (not self._sends and not len(self._backlog))
        if self._state is _State.CLOSED:
            assert not self.held_spans

    def _schedule(self) -> None:
        """Arrange for the backlog to be sent: now, or when enough was gathered."""
        if self._sends >= self._settings.sends_max or not len(self._backlog):
            return
        settings = self._settings
        now_s = self._loop.time()
        idle = not self._sends and now_s - self._flushed_at > settings.linger_s
        if idle or self._backlog.size_bytes >= settings.gather_bytes:
            delay_s = 0.0
        else:
            delay_s = settings.linger_s
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

    def _flush(self) -> None:
        self._flush_handle = None
        self._flushed_at = self._loop.time()
        while len(self._backlog) and self._sends < self._settings.sends_max:
            parts = self._backlog.take(self._settings.request_bytes_max)
            if not parts:
                break
            spans = sum(part.spans for part in parts)
            self._sends += 1
            self._sending_spans += spans
            self._tasks.spawn(self._send(parts, spans), name=f"send {self.address}")
        if not self._backlog.full:
            self._room.set()
        self._settle()

    def _settle(self) -> None:
        if not self._sends and not len(self._backlog):
            self._idle.set()

    async def _send(self, parts: list[Part], spans: int) -> None:
        try:
            await self._deliver(parts)
        except Exception as error:
            # The boundary to a client that broke its contract: nothing may hang on it.
            log.exception(
                "sending to a backend failed unexpectedly", backend=self.address
            )
            self._resolve_all(parts, Result(Outcome.FAILED, "internal", repr(error)))
        finally:
            for part in parts:
                part.resolve(_STOPPED)  # only what a cancelled task left open
            self._sends -= 1
            self._sending_spans -= spans
            self._settle()
            self._schedule()

    async def _deliver(self, parts: list[Part]) -> None:
        """Try until every part is resolved."""
        backoff = Backoff(self._settings.retry, started_ns=now_ns())
        epoch = self._epoch
        while parts:
            result = await self._try(parts)
            if result.outcome is Outcome.DELIVERED:
                _resolve_delivered(parts, result)
                return
            if result.outcome is Outcome.REJECTED:
                await self._isolate(parts, result)
                return
            delay_s = self._delay_s(backoff, result, parts)
            if delay_s is not None and self._stays(epoch):
                await self._sleep(delay_s)
                if self._stays(epoch):
                    parts = [part for part in parts if not part.abandoned]
                    continue
            gave_up = delay_s is None and self._stays(epoch)
            self._resolve_all(parts, result if gave_up else MOVED)
            return

    async def _try(self, parts: list[Part]) -> Result:
        """One request, with one part or several joined."""
        payload = parts[0].payload
        if len(parts) > 1:
            payload = b"".join([part.payload for part in parts])
        spans = sum(part.spans for part in parts)
        began_s = self._loop.time()
        try:
            rejected = await self._client.export(
                payload, timeout_s=self._settings.timeout_s
            )
        except Refused as refused:
            self.suspected = self.suspected or refused.reason == "unreachable"
            result = Result(
                Outcome.FAILED, refused.reason, refused.detail, refused.retry_after_s
            )
        except Rejected as refusal:
            self.suspected = False
            result = Result(Outcome.REJECTED, refusal.reason, refusal.detail)
        else:
            self.suspected = False
            result = DELIVERED
            if rejected:
                result = Result(Outcome.DELIVERED, rejected=rejected)
            self._wake()
        took_ms = (self._loop.time() - began_s) * 1000.0
        self._metrics.tried(result, spans=spans, took_ms=took_ms)
        return result

    async def _isolate(self, parts: list[Part], result: Result) -> None:
        """A refusal for good: of one part it is the answer, of several each is
        tried alone, for the others may be sound."""
        if len(parts) == 1 or result.reason not in SPLIT_REASONS:
            self._resolve_all(parts, result)
            return
        for part in parts:
            await self._deliver([part])

    def _resolve_all(self, parts: list[Part], result: Result) -> None:
        for part in parts:
            part.resolve(result)
        if result.outcome is not Outcome.MOVED:
            self._metrics.gave_up(sum(part.spans for part in parts))

    def _delay_s(
        self, backoff: Backoff, result: Result, parts: list[Part]
    ) -> float | None:
        """How long to wait before the next try; None when there is none."""
        if not self._settings.retry.enabled:
            return None
        at_ns = now_ns()
        delay_ns = backoff.next_delay_ns(
            at_ns,
            jitter=random.random(),
            retry_after_ns=int(result.retry_after_s * 1e9),
        )
        if delay_ns is None:
            return None
        deadlines = [part.deadline_ns for part in parts if part.deadline_ns]
        if deadlines and at_ns + delay_ns > min(deadlines):
            return None
        return delay_ns / 1e9

    def _stays(self, epoch: int) -> bool:
        return self._epoch == epoch and self._state is _State.OPEN

    async def _sleep(self, delay_s: float) -> None:
        """Wait for the delay, or until a request succeeded or the fleet changed."""
        sleeper: asyncio.Future[None] = self._loop.create_future()
        self._sleepers.add(sleeper)
        handle = self._loop.call_later(delay_s, _finish, sleeper)
        try:
            await sleeper
        finally:
            handle.cancel()
            self._sleepers.discard(sleeper)

    def _wake(self) -> None:
        for sleeper in self._sleepers:
            _finish(sleeper)


def _finish(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)


def _resolve_delivered(parts: list[Part], result: Result) -> None:
    """Resolve parts of one acknowledged request; rejected spans are charged to the
    first parts, for the answer does not say whose they were."""
    left = result.rejected
    for part in parts:
        charged = min(left, part.spans)
        left -= charged
        part.resolve(
            Result(Outcome.DELIVERED, rejected=charged) if charged else DELIVERED
        )
