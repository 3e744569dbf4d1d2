"""Clients that press on: a load at a rate, each request until it is acknowledged.

They do what OTLP exporters with retry do: a refusal that may pass is followed by
another attempt with the same bytes after a backoff, or after the delay that was asked
for. New requests leave in time also while old ones wait, as from a fleet of agents, up
to a bound; beyond it the clients wait, as agents do whose own queues are full.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc
import grpc.aio

from tailring_testkit.backend import EXPORT_TRACES
from tailring_testkit.numbered import Load
from tailring_testkit.otlp_clients import retry_after_s

__all__ = ["Pressed", "Pressure"]

Export = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]

_STATUS_DETAILS = "grpc-status-details-bin"
_RETRYABLE = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)
_BACKOFF_FIRST_S = 0.1
_BACKOFF_MAX_S = 5.0
_RECONNECT_MS = 200


@dataclass(slots=True)
class Pressed:
    """What came of a load. ``acknowledged`` has the requests of the load, by their
    number, that were; ``late_s`` is from a request's due time to its answer."""

    requests: int = 0
    acknowledged: array[int] = field(default_factory=lambda: array("I"))
    refusals: int = 0
    rejected: int = 0
    given_up: int = 0
    late_s: list[float] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)

    def late_at(self, share: float) -> float:
        """The lateness that ``share`` of the acknowledged requests did not exceed."""
        ordered = sorted(self.late_s) or [0.0]
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True, slots=True)
class _Request:
    number: int
    payload: bytes
    due_s: float


class Pressure:
    """Sends to ``targets`` in turn, over one connection each; an event loop's own."""

    def __init__(
        self,
        targets: Sequence[str],
        *,
        spans_per_s: float,
        timeout_s: float = 10.0,
        attempts_max: int = 1_000,
        outstanding_max: int = 4_000,
    ) -> None:
        """``timeout_s`` is that of one attempt."""
        self.pressed = Pressed()
        self._targets = targets
        self._spans_per_s = spans_per_s
        self._timeout_s = timeout_s
        self._attempts_max = attempts_max
        self._room = asyncio.Semaphore(outstanding_max)
        self._random = random.Random(1)

    async def run(self, load: Load, *, until: asyncio.Event | None = None) -> Pressed:
        """Send the whole load, or of it what is due before ``until`` is set; returns
        when every request that was sent has its last answer."""
        options = (
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", _RECONNECT_MS),
            ("grpc.max_reconnect_backoff_ms", _RECONNECT_MS),
        )
        channels = [grpc.aio.insecure_channel(it, options) for it in self._targets]
        exports: list[Export] = [it.unary_unary(EXPORT_TRACES) for it in channels]
        try:
            await self._press(exports, load, until)
        finally:
            for channel in channels:
                await channel.close()
        return self.pressed

    async def _press(
        self, exports: Sequence[Export], load: Load, until: asyncio.Event | None
    ) -> None:
        turns = itertools.cycle(exports)
        gap_s = load.spans_per_request / self._spans_per_s
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        async with asyncio.TaskGroup() as group:
            for number, payload in enumerate(load.requests()):
                await asyncio.sleep(max(0.0, due_s - loop.time()))
                await self._room.acquire()
                if until is not None and until.is_set():
                    break
                request = _Request(number, payload, due_s)
                group.create_task(self._send(next(turns), request))
                due_s += gap_s

    async def _send(self, export: Export, request: _Request) -> None:
        self.pressed.requests += 1
        wait_s = _BACKOFF_FIRST_S
        try:
            for _ in range(self._attempts_max):
                asked_s = await self._attempt(export, request)
                if asked_s is None:
                    return
                jitter = 0.5 + self._random.random()
                await asyncio.sleep(max(asked_s, wait_s * jitter))
                wait_s = min(_BACKOFF_MAX_S, wait_s * 1.5)
            self.pressed.given_up += 1
        finally:
            self._room.release()

    async def _attempt(self, export: Export, request: _Request) -> float | None:
        """Send once; None when that is the end of it, else the delay asked for."""
        pressed = self.pressed
        try:
            await export(request.payload, timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            code = error.code()
            pressed.codes[code.name] = pressed.codes.get(code.name, 0) + 1
            if code not in _RETRYABLE:
                pressed.rejected += 1
                return None
            pressed.refusals += 1
            return _asked_s(error)
        late_s = asyncio.get_running_loop().time() - request.due_s
        pressed.acknowledged.append(request.number)
        pressed.late_s.append(late_s)
        return None


def _asked_s(error: grpc.aio.AioRpcError) -> float:
    for key, value in error.trailing_metadata() or ():
        if key == _STATUS_DETAILS and isinstance(value, bytes):
            return retry_after_s(value) or 0.0
    return 0.0
