"""One request to a backend, from its first try until each of its parts is resolved.

Rules:

* A try that failed in a way that may pass is followed by another after a backoff, for
  as long as retry allows it to each part: a part has its own age and its own deadline,
  also where it was joined with others.
* A request that is refused for good is halved, and each half is sent again, until the
  parts that are to blame stand alone (`Halving`): one bad part takes no other with it.
* While the backend is entrusted with little (`window`) only so many requests are sent,
  after an empty one was answered; for the others it counts as a try that failed.
* A part whose sender has gone is not sent again. Between two tries it is given up at
  once; during a try its fate is awaited.
* What failed at a backend that has left, or had its parts called back, is *moved*.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from tailring_pipeline import HURRIED_WAIT_MAX_S, SPLIT_REASONS, Backoff, Halving
from tailring_router.line import SILENT, delivered
from tailring_router.part import GONE, MOVED, Outcome, Part, Result, now_ns

if TYPE_CHECKING:
    from tailring_router.line import Line

__all__ = ["Sending"]


class Sending:
    """``open`` holds the parts that are not resolved yet."""

    def __init__(self, line: Line, parts: list[Part]) -> None:
        self.open = set(parts)
        self._parts = parts
        self._halving = Halving(parts)
        self._line = line
        self._epoch = line.epoch
        self._waits = False
        # Whether the backend said how long to wait.
        self._asked = False
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Try until every part is resolved."""
        while parts := self._halving.take():
            await self._deliver(parts)

    def fail(self, result: Result) -> None:
        """Resolve whatever is open."""
        self._give_up([part for part in self._parts if part in self.open], result)

    def drop(self, result: Result) -> None:
        """Resolve whatever is open, for a line that is closed: nothing has failed."""
        left = [part for part in self._parts if part in self.open]
        if result is MOVED:
            self._move(left)
            return
        for part in left:
            self._resolve(part, result)

    def abandon(self, part: Part) -> bool:
        """The sender of an open part has gone; True when it could be given up."""
        if not self._waits:
            return False
        self._resolve(part, GONE)
        if not self.open:
            self.wake()
        return True

    def wake(self) -> None:
        """End the wait between two tries, if there is one."""
        if self._waits:
            self._woken.set()

    def came_back(self) -> None:
        """The backend could not be reached and now has answered another request: try
        again at once, unless it asked for patience."""
        if not self._asked:
            self.wake()

    def _resolve(self, part: Part, result: Result) -> None:
        self.open.discard(part)
        part.resolve(result)

    def _move(self, parts: list[Part]) -> None:
        self.open.difference_update(parts)
        self._line.moves(parts)

    def _give_up(self, parts: list[Part], result: Result) -> None:
        for part in parts:
            self._resolve(part, result)
        self._line.gives_up(result, sum(part.items for part in parts))

    async def _deliver(self, parts: list[Part]) -> None:
        """Try until each of ``parts`` is resolved, or was refused and is halved."""
        line = self._line
        backoff = Backoff(line.settings.endless_retry)
        epoch = self._epoch
        while parts := self._wanted(parts):
            parts, result = await self._try(parts)
            if result.outcome is Outcome.DELIVERED:
                self._resolve_delivered(parts, result)
                return
            if result.outcome is Outcome.REJECTED:
                self._isolate(parts, result)
                return
            if line.keeps(epoch):
                delay_ns = self._delay_ns(backoff, result)
                parts = self._unexpired(parts, result, delay_ns)
                if parts:
                    self._asked = result.retry_after_s > 0
                    await self._wait(delay_ns / 1e9)
            if not line.keeps(epoch):
                self._move(parts)
                return

    async def _try(self, parts: list[Part]) -> tuple[list[Part], Result]:
        """Send the request once; what was sent, without those who left before."""
        line = self._line
        with line.turn() as has_one:
            if not has_one or not await line.hears():
                return parts, SILENT
            parts = self._wanted(parts)
            return parts, await line.call(parts) if parts else SILENT

    def _wanted(self, parts: list[Part]) -> list[Part]:
        """Those that are still to be tried; the others are resolved."""
        wanted = []
        for part in parts:
            if part.abandoned:
                self._resolve(part, GONE)
            else:
                wanted.append(part)
        if self._line.ended:
            self._move(wanted)
            return []
        for part in wanted:
            part.tried_ns = part.tried_ns or now_ns()
        return wanted

    def _isolate(self, parts: list[Part], result: Result) -> None:
        """A refusal for good: of one part it is the answer, of several each half is
        tried again, for one of them may be sound."""
        if result.reason not in SPLIT_REASONS or not self._halving.split(parts):
            self._give_up(parts, result)

    def _resolve_delivered(self, parts: list[Part], result: Result) -> None:
        """Resolve parts of one acknowledged request; rejected items are charged to the
        first parts, for the answer does not say whose they were."""
        left = result.rejected
        for part in parts:
            charged = min(left, part.items)
            left -= charged
            self._resolve(part, delivered(charged, result.detail))

    def _delay_ns(self, backoff: Backoff, result: Result) -> int:
        """How long to wait before the next try."""
        asked_ns = int(result.retry_after_s * 1e9)
        delay_ns = backoff.next_delay_ns(
            now_ns(), jitter=random.random(), retry_after_ns=asked_ns
        )
        assert delay_ns is not None, "each part has its own end"
        if not self._line.hurries:
            return delay_ns
        return min(delay_ns, max(int(HURRIED_WAIT_MAX_S * 1e9), asked_ns))

    def _unexpired(
        self, parts: list[Part], result: Result, delay_ns: int
    ) -> list[Part]:
        """Those that may be tried after the delay; the others have failed."""
        retry = self._line.settings.retry
        at_ns = now_ns() + delay_ns
        unexpired: list[Part] = []
        expired: list[Part] = []
        for part in parts:
            elapsed_max_ns = retry.max_elapsed_time
            late = elapsed_max_ns and at_ns - part.tried_ns > elapsed_max_ns
            past = part.deadline_ns and at_ns > part.deadline_ns
            ended = not retry.enabled or late or past
            (expired if ended else unexpired).append(part)
        if expired:
            self._give_up(expired, result)
        if unexpired:
            self._line.retries(result, sum(part.items for part in unexpired))
        return unexpired

    async def _wait(self, delay_s: float) -> None:
        """Wait for the delay, or until somebody wakes this request. Whoever has gone
        takes its parts along meanwhile."""
        abandoned = [part for part in self.open if part.abandoned]
        for part in abandoned:
            self._resolve(part, GONE)
        if not self.open:
            return
        self._waits = True
        self._woken.clear()
        try:
            async with asyncio.timeout(delay_s):
                await self._woken.wait()
        except TimeoutError:
            return
        finally:
            self._waits = False
