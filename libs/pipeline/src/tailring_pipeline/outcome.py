"""The boundary of a stage: whatever a consumer does becomes one of three answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tailring_pipeline.consumer import Batch, Consumer, Refused, Rejected

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["Outcome", "delivery_of"]

# None: the batch is safe downstream.
Outcome = Refused | Rejected | None


async def delivery_of(
    batch: Batch, consumer: Consumer, *, log: FilteringBoundLogger
) -> Outcome:
    """Hand ``batch`` to ``consumer`` and return its answer instead of raising it.

    An exception that is no answer is a bug: it is logged and answered retryable. Only
    a cancellation of the calling task is raised.
    """
    try:
        await consumer.consume(batch)
    except (Refused, Rejected) as answer:
        return answer
    except asyncio.CancelledError:
        if _cancelling():
            raise
        return Refused("cancelled", "the call was cancelled on its way")
    except Exception as error:
        log.error("consumer failed unexpectedly", exc_info=error)
        return Refused("internal", f"{type(error).__name__}: {error}")
    return None


def _cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
