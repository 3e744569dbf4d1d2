"""Consuming for a sender who waits elsewhere, as those behind a queue do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, runtime_checkable

from tailring_pipeline.consumer import Batch, Consumer

__all__ = ["OnBehalf", "OneSender"]


@runtime_checkable
class OnBehalf(Protocol):
    """A consumer that can be told whom a batch is for."""

    def on_behalf_of(self, asker: asyncio.Future[Any]) -> Consumer:
        """The same consumer for one batch, whose sender waits for ``asker``; once that
        is done (cancelled: he went away; else he takes back what is left, and is told
        with `Refused` what that is) nothing is begun for him any more."""


class OneSender:
    """One batch's way into a consumer whose ``deliver`` takes the asker as well."""

    def __init__(
        self,
        deliver: Callable[[Batch, asyncio.Future[Any] | None], Awaitable[None]],
        asker: asyncio.Future[Any],
    ) -> None:
        self._deliver = deliver
        self._asker = asker

    async def consume(self, batch: Batch) -> None:
        """Deliver the batch; raises what ``deliver`` does."""
        await self._deliver(batch, self._asker)
