"""One input, several consumers.

Every consumer gets every batch, whatever the others answer. The sender gets one answer,
so a sender that only sees the fan-out sends again when one refuses, and those that took
the batch get it twice: clients do, of ours as of upstream's. A stage that holds what it
sends takes the fan-out apart (`branches_of`) and delivers to each consumer for itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tailring_pipeline.consumer import Batch, Consumer, Refused, Rejected
from tailring_pipeline.outcome import Outcome, delivery_of
from tailring_runtime.logs import get_logger

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["FanOut", "branches_of", "fan_out"]


def fan_out(
    consumers: Sequence[Consumer], *, log: FilteringBoundLogger | None = None
) -> Consumer:
    """All of ``consumers`` as one; a single one as it is. ValueError for none."""
    if not consumers:
        raise ValueError("a pipeline needs at least one exporter")
    if len(consumers) == 1:
        return consumers[0]
    return FanOut(consumers, log=log)


def branches_of(consumer: Consumer) -> tuple[Consumer, ...]:
    """The consumers behind a fan-out; any other consumer as it is, alone."""
    return consumer.consumers if isinstance(consumer, FanOut) else (consumer,)


class FanOut:
    """A `Consumer` that hands each batch to all others at the same time."""

    def __init__(
        self, consumers: Sequence[Consumer], *, log: FilteringBoundLogger | None = None
    ) -> None:
        self._consumers = tuple(consumers)
        self._log = log if log is not None else get_logger()

    @property
    def consumers(self) -> tuple[Consumer, ...]:
        """Those that get every batch."""
        return self._consumers

    async def consume(self, batch: Batch) -> None:
        """Return when all took the batch; raises one answer when any did not.

        Refused wins over Rejected, because sending again may help; the longest wait
        that was asked for is passed on. Cancelled, it cancels all.
        """
        answers = await asyncio.gather(
            *(delivery_of(batch, one, log=self._log) for one in self._consumers)
        )
        answer = _one_answer(answers, batch)
        if answer is not None:
            raise answer


def _one_answer(answers: Sequence[Outcome], batch: Batch) -> Outcome:
    refusals = [one for one in answers if isinstance(one, Refused)]
    rejections = [one for one in answers if isinstance(one, Rejected)]
    if refusals:
        first = refusals[0]
        detail = "; ".join(one.detail for one in refusals)
        wait_s = max(one.retry_after_s for one in refusals)
        return Refused(first.reason, detail, retry_after_s=wait_s)
    if rejections:
        detail = "; ".join(one.detail for one in rejections)
        items = max(one.items_of(batch) for one in rejections)
        return Rejected(rejections[0].reason, detail, items=items)
    return None
