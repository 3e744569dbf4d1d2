"""A client to a backend that never touches a socket: its answers are scripted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from tailring_pipeline import Rejected

__all__ = ["ScriptedClient"]


class ScriptedClient:
    """Keeps what it delivered; answers one call after the other by its script.

    A script entry is None (delivered), a number (delivered, that many spans not
    taken) or an exception to raise. When the script is used up, ``answer`` decides.
    """

    def __init__(self, answer: int | BaseException | None = None) -> None:
        self.answer = answer
        self.delivered: list[bytes] = []
        self.tried: list[bytes] = []
        self.in_flight = 0
        self.in_flight_max = 0
        self.closed = False
        self._script: Iterator[int | BaseException | None] = iter(())
        self._open = asyncio.Event()
        self._open.set()
        self._changed = asyncio.Condition()

    def script(self, answers: Iterable[int | BaseException | None]) -> None:
        """Answer the next calls by ``answers`` in order."""
        self._script = iter(answers)

    def hold(self) -> None:
        """Keep calls unanswered until `release`."""
        self._open.clear()

    def release(self) -> None:
        """Answer the calls that are held."""
        self._open.set()

    async def wait_tried(self, calls: int) -> None:
        """Wait until ``calls`` calls were made, answered or not."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.tried) >= calls)

    async def export(self, payload: bytes, *, timeout_s: float) -> Rejected | None:
        """Deliver, or raise what the script says."""
        assert timeout_s > 0, "a call without a time limit can hang for ever"
        assert not self.closed, "a closed client was used"
        self.tried.append(payload)
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        try:
            async with self._changed:
                self._changed.notify_all()
            await self._open.wait()
        finally:
            self.in_flight -= 1
        answer = next(self._script, self.answer)
        if isinstance(answer, BaseException):
            raise answer
        self.delivered.append(payload)
        if answer is None:
            return None
        return Rejected("partial_success", "the script says so", items=answer)

    async def close(self) -> None:
        """Nothing may be sent from now on."""
        self.closed = True
