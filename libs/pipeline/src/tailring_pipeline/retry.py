"""Sends a batch again until it is taken, rejected, or out of time.

Rules:

* Only `Refused` is retried, and only what remains of the batch; `Rejected` passes.
* The wait that a refusal asks for is a minimum.
* No task of its own: the caller waits, and its cancellation ends the retrying.
* A caller that waits for somebody else's sake (`on_behalf_of`) ends it with him: what
  is under way is answered, but for nobody is anything sent again.
* After `hurry` (a drain has begun) nobody waits longer than `HURRIED_WAIT_MAX_S` unless
  the refusal asks for it, and those who wait try again at once.
* After `stop_retrying` (the end of a drain) those who wait make one last attempt at
  once, and whatever fails from then on is not tried again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from tailring_pipeline.backoff import SECOND_NS, Backoff, RetryConfig
from tailring_pipeline.consumer import Batch, Consumer, Refused, Rejected
from tailring_pipeline.failure_log import FailureLog
from tailring_pipeline.on_behalf import OneSender
from tailring_pipeline.wakeups import Wakeups
from tailring_runtime.logs import get_logger

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["HURRIED_WAIT_MAX_S", "Retry"]

HURRIED_WAIT_MAX_S: Final = 1.0


class Retry:
    """A `Consumer` in front of another; passes straight through when not enabled."""

    def __init__(
        self,
        config: RetryConfig,
        *,
        consumer: Consumer,
        log: FilteringBoundLogger | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._config = config
        self._consumer = consumer
        self._jitter = jitter
        self._waits = Wakeups()
        self._hurried = False
        self._stopped = False
        self._retries = FailureLog(
            "Exporting failed. Will retry the request after interval.",
            log=log if log is not None else get_logger(),
            level="info",
        )

    async def consume(self, batch: Batch) -> None:
        """Deliver the batch, waiting between attempts; raises the last refusal."""
        await self._deliver(batch, None)

    def on_behalf_of(self, asker: asyncio.Future[Any]) -> Consumer:
        """The same consumer for one batch, whose sender waits for ``asker``.

        Once that is done (cancelled: he went away) an attempt under way is the last
        one, a wait ends, and its refusal is raised.
        """
        return OneSender(self._deliver, asker)

    async def _deliver(self, batch: Batch, asker: asyncio.Future[Any] | None) -> None:
        if not self._config.enabled:
            await self._consumer.consume(batch)
            return
        backoff = Backoff(self._config, started_ns=_now_ns())
        remaining = batch
        while True:
            try:
                await self._consumer.consume(remaining)
                return
            except Rejected as rejected:
                if remaining is batch:
                    raise
                raise _about(rejected, remaining) from rejected
            except Refused as refused:
                answer = refused
            remaining = answer.remaining or remaining
            if not await self._wait(
                backoff, answer, items=remaining.items, asker=asker
            ):
                raise answer if remaining is batch else _left(answer, remaining)

    def hurry(self) -> None:
        """Cut every wait short, and wait only for moments from now on."""
        self._hurried = True
        self._waits.wake_all()

    def stop_retrying(self) -> None:
        """Cut every wait short for one last attempt, and retry nothing from now on."""
        self._stopped = True
        self._waits.wake_all()
        self._retries.flush()

    async def _wait(
        self,
        backoff: Backoff,
        refused: Refused,
        *,
        items: int,
        asker: asyncio.Future[Any] | None,
    ) -> bool:
        """Wait for the moment of the next attempt; False: there shall be none."""
        if self._stopped or _gone(asker):
            return False
        delay_ns = self._delay_ns(backoff, refused)
        if delay_ns is None:
            return False
        self._retries.failed(refused, items)
        await self._waits.wait(delay_ns / SECOND_NS, until=asker)
        return not _gone(asker)

    def _delay_ns(self, backoff: Backoff, refused: Refused) -> int | None:
        retry_after_ns = int(refused.retry_after_s * SECOND_NS)
        delay_ns = backoff.next_delay_ns(
            _now_ns(), jitter=self._jitter(), retry_after_ns=retry_after_ns
        )
        if delay_ns is None or not self._hurried:
            return delay_ns
        return min(delay_ns, max(int(HURRIED_WAIT_MAX_S * SECOND_NS), retry_after_ns))


def _gone(asker: asyncio.Future[Any] | None) -> bool:
    return asker is not None and asker.done()


def _about(rejected: Rejected, remaining: Batch) -> Rejected:
    """The same rejection, counted against the batch that the caller handed in."""
    items = rejected.items_of(remaining)
    return Rejected(rejected.reason, rejected.detail, items=items)


def _left(refused: Refused, remaining: Batch) -> Refused:
    """The same refusal, saying what is left of the batch that the caller handed in."""
    return Refused(
        refused.reason,
        refused.detail,
        retry_after_s=refused.retry_after_s,
        remaining=remaining,
    )


def _now_ns() -> int:
    return int(asyncio.get_running_loop().time() * SECOND_NS)
