"""The line to one backend: its connection, and what all requests on it share.

It makes one try of one request, and says what came of it as a `Result`. Whether and
when there is another try is not its business (`sending`), nor is what is tried next
(`forwarder`).

A request that nobody answered may have arrived all the same, and then comes twice when
it is sent again. How many items are in such doubt is counted; and a backend that let a
request wait for too long is entrusted with little (`window`) until it answers in time.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tailring_pipeline import FailureLog, Refused, Rejected
from tailring_router.client import Client, ForwarderSettings
from tailring_router.metrics import BackendMetrics
from tailring_router.part import DELIVERED, Outcome, Part, Result
from tailring_router.window import Window
from tailring_runtime.logs import get_logger

if TYPE_CHECKING:
    from tailring_router.sending import Sending
    from tailring_router.shared import Shared

__all__ = ["SILENT", "Line"]

SILENT = Result(Outcome.FAILED, "deadline", "the backend has not answered in time")
# Why nothing was heard from a backend.
_TOO_LATE = "deadline"
_UNREACHABLE = "unreachable"
_CLOSED = "closed"
_UNHEARD = frozenset({_TOO_LATE, _UNREACHABLE, _CLOSED})
# How grpc says that there was no connection which a request could have gone out by: of
# pick_first and round_robin, in lower case.
_NEVER_SENT = ("failed to connect", "connections to all backends failing")


class Line:
    """Owned by a forwarder; lives on one event loop.

    ``suspected``: the last try found nobody at the address. ``epoch`` counts how often
    the forwarder gave back what it held. ``leaving``: the backend was removed, nothing
    is tried twice; ``ended``: nothing is tried at all. ``hurries``: no wait between two
    tries is long any more.
    """

    def __init__(
        self,
        address: str,
        connect: Callable[[str], Client],
        *,
        settings: ForwarderSettings,
        metrics: BackendMetrics,
        fleet: Shared,
    ) -> None:
        """``connect`` is called once, when the first request is sent; the fleet is
        told whenever the backend was away and answers again."""
        self.address = address
        self.settings = settings
        self.metrics = metrics
        self._fleet = fleet
        self.sendings: set[Sending] = set()
        self.suspected = False
        self.window = Window(settings.sends_max)
        self.epoch = 0
        self.leaving = False
        self.ended = False
        self.hurries = False
        # The last answer that was none, and when (the loop's clock), for people.
        self.last_failure: tuple[Result, float] | None = None
        log = get_logger(backend=address)
        self._retrying = FailureLog(
            "Exporting failed. Will retry the request after interval.",
            log=log,
            level="info",
        )
        self._failing = FailureLog("Exporting failed. Rejecting data.", log=log)
        # As level 1 says it of its own queue: the sender is told, and still has it.
        self._full = FailureLog(
            "Dropping data because sending_queue is full",
            log=log,
            facts={"refused": True},
        )
        self._connect = connect
        self._client: Client | None = None
        self._turns = 0

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """While the block runs a request has, or has not, one of the few places that
        there are for a backend which was late."""
        has_one = self._turns < self.window.requests
        self._turns += has_one
        try:
            yield has_one
        finally:
            self._turns -= has_one

    async def hears(self) -> bool:
        """Whether the backend answers an empty request, which can come twice without
        harm; asked only after it was late."""
        if not self.window.silent:
            return True
        return (await self.call([])).reason not in _UNHEARD

    async def call(self, parts: list[Part]) -> Result:
        """Try one request: one part, or several joined, which merges them."""
        payload = parts[0].payload if len(parts) == 1 else _joined(parts)
        items = sum(part.items for part in parts)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            result = await self._export(payload)
        except asyncio.CancelledError:
            self.metrics.doubted(items)
            raise
        if result.outcome is not Outcome.DELIVERED:
            self.last_failure = (result, loop.time())
        took_s = loop.time() - began_s
        self.metrics.tried(result, items=items, took_ms=took_s * 1000.0)
        if result.reason in _UNHEARD:
            self._unheard(result, items)
        elif items:
            was_away = self.suspected or not self.window.open
            self.window.answered(took_s / (self.settings.timeout_s or math.inf))
            if was_away and result.outcome is not Outcome.FAILED:
                self._is_back()
        return result

    async def _export(self, payload: bytes) -> Result:
        client = self._client or await self._connected()
        timeout_s = self.settings.timeout_s
        try:
            partial = await client.export(payload, timeout_s=timeout_s)
        except Refused as refused:
            return Result(
                Outcome.FAILED, refused.reason, refused.detail, refused.retry_after_s
            )
        except Rejected as refusal:
            return Result(Outcome.REJECTED, refusal.reason, refusal.detail)
        if partial is None:
            return DELIVERED
        return delivered(partial.items or 0, partial.detail)

    async def _connected(self) -> Client:
        # Hundreds of connections are not made in one turn of the loop.
        await self._fleet.slices.turn()
        if self._client is None:
            self._client = self._connect(self.address)
        return self._client

    def moves(self, parts: list[Part]) -> None:
        """Somebody else is to deliver these parts."""
        self._fleet.move(parts)

    def retries(self, result: Result, items: int) -> None:
        """A try failed and there will be another: told now and then."""
        self._retrying.failed(Refused(result.reason, result.detail), items)

    def gives_up(self, result: Result, items: int) -> None:
        """``items`` will not be tried again at this backend."""
        self.metrics.gave_up(items)
        self._failing.failed(Refused(result.reason, result.detail), items)

    def turns_away(self, result: Result, items: int) -> None:
        """There was no room for ``items``: told now and then."""
        self.metrics.turned_away(items)
        self._full.failed(Refused(result.reason, result.detail), items)

    def keeps(self, epoch: int) -> bool:
        """Whether what was begun at ``epoch`` may stay here for another try."""
        return self.epoch == epoch and not self.leaving

    def wake(self) -> None:
        """Let every request that waits for its next try have it now."""
        for sending in self.sendings:
            sending.wake()

    def _unheard(self, result: Result, items: int) -> None:
        detail = result.detail.lower()
        if not any(words in detail for words in _NEVER_SENT):
            self.metrics.doubted(items)
        if result.reason == _UNREACHABLE:
            self.suspected = True
            self.window.reset()
        elif self.settings.retry.enabled:  # else each part has one try, and gets it
            self.window.late()

    def _is_back(self) -> None:
        self.suspected = False
        self._fleet.came_back(self.address)
        for sending in self.sendings:
            sending.came_back()

    async def close(self) -> None:
        """Give up the connection."""
        # Of `_retrying` nothing is told now: it would read as if retries went on.
        self._failing.flush()
        self._full.flush()
        if self._client is not None:
            await self._fleet.slices.turn()
            await self._client.close()


def _joined(parts: list[Part]) -> bytes:
    return b"".join([part.payload for part in parts])


def delivered(rejected: int, detail: str) -> Result:
    """Delivered, all but ``rejected`` items, for the reason that the backend gave."""
    if not rejected:
        return DELIVERED
    return Result(Outcome.DELIVERED, "partial", detail, rejected=rejected)
