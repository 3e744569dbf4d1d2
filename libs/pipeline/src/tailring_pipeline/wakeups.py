"""Waiting for a moment that may be called off early."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

__all__ = ["Wakeups"]


class Wakeups:
    """Those who wait for a timeout, all of whom one call wakes. One event loop."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[bool]] = set()

    async def wait(
        self, timeout_s: float, *, until: asyncio.Future[Any] | None = None
    ) -> bool:
        """Wait for ``timeout_s`` (False), or until `wake_all` is called (True).

        Also ends, True, when ``until`` is done or cancelled, whatever came of it.
        """
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[bool] = loop.create_future()
        self._waiting.add(woken)
        timer = loop.call_later(timeout_s, _answer, woken, False)

        end = partial(_ended, woken)
        if until is not None:
            until.add_done_callback(end)
        try:
            return await woken
        finally:
            timer.cancel()
            if until is not None:
                until.remove_done_callback(end)
            self._waiting.discard(woken)

    def wake_all(self) -> None:
        """Wake everybody who waits now."""
        for woken in self._waiting:
            _answer(woken, True)


def _ended(woken: asyncio.Future[bool], _until: asyncio.Future[Any]) -> None:
    _answer(woken, True)


def _answer(woken: asyncio.Future[bool], value: bool) -> None:
    if not woken.done():
        woken.set_result(value)
