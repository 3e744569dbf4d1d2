"""JSON bodies converted beside the event loop, one large one at a time.

A conversion takes tens of microseconds an item and shares the interpreter with the
loop, so several at once would only take longer and hold more. A body keeps its place
among what is in flight until its conversion has ended. That is also when its client has
left: a thread cannot be cancelled, and forgetting it would be a queue that nobody sees.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from tailring_otlpio.errors import MalformedBody
from tailring_otlpio.intake import Intake
from tailring_otlpio.json_requests import request_from_json
from tailring_pipeline import Signal

__all__ = ["Conversion"]

# Larger JSON would hold up the loop for milliseconds; it goes to a thread.
_INLINE_BYTES_MAX: Final = 16 * 1024


class Conversion:
    """From JSON to encoded requests, for one server; ``convert_one`` does it."""

    def __init__(
        self,
        intake: Intake,
        convert_one: Callable[[bytes, Signal], bytes] = request_from_json,
    ) -> None:
        self._intake = intake
        self._convert_one = convert_one
        self._slot = asyncio.Semaphore(1)

    async def convert(self, body: bytes, signal: Signal) -> bytes:
        """The encoded request of a JSON body of ``signal``.

        Raises `MalformedBody`, or `Refused` when a large one is not let in.
        """
        if not body:
            raise MalformedBody("not OTLP JSON: the body is empty")
        if len(body) <= _INLINE_BYTES_MAX:
            return self._convert_one(body, signal)
        size = len(body)
        self._intake.enter(size)
        try:
            await self._slot.acquire()
        except asyncio.CancelledError:
            self._intake.leave(size)
            raise
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(None, self._convert_one, body, signal)
        running.add_done_callback(partial(self._ended, size))
        return await asyncio.shield(running)

    def _ended(self, size: int, _running: object) -> None:
        self._slot.release()
        self._intake.leave(size)
