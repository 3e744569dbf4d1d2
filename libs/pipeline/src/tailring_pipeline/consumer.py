"""The one seam between stages.

Whatever stands downstream of a receiver looks the same to it: something that
takes a batch of encoded OTLP and answers when it is accountable for it.

Rules:

* A batch is bytes: one encoded ``Export*ServiceRequest``. Nobody parses it to
  pass it on, and joining two batches is concatenating their payloads.
* ``consume`` returns when the batch is safe downstream, as far as that stage
  promises (delivered, held in memory, written to disk). It raises `Refused`
  when the same bytes may succeed later and `Rejected` when they never will.
* Nothing waits in a hidden queue: a full stage raises `Refused` at once.
* The caller keeps no reference to a batch whose ``consume`` returned.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

__all__ = ["Batch", "Consumer", "Refused", "Rejected", "Signal", "Stage"]


class Signal(Enum):
    """What kind of telemetry a batch holds; the value is the pipeline's name."""

    TRACES = "traces"
    LOGS = "logs"
    METRICS = "metrics"


@dataclass(frozen=True, slots=True)
class Batch:
    """One encoded export request and the number of items in it: spans, log records or
    data points.

    ``deadline_ns``, by the event loop's clock, is when its sender stops waiting for the
    answer; None: nobody knows, as of requests over HTTP. It is no part of what a batch
    is: equal ones may have different ones, and those that are joined or cut have none.
    """

    payload: bytes
    items: int
    signal: Signal = Signal.TRACES
    deadline_ns: int | None = field(default=None, compare=False)


class Refused(Exception):
    """Raised when a stage cannot take a batch now; the same bytes may succeed later.

    ``reason`` is a short constant word (a metric label), ``detail`` a sentence for
    people, ``retry_after_s`` how long the sender is asked to wait (0: its own backoff).
    ``remaining`` is what was not taken when the rest was: whoever holds the batch sends
    only that again (None: nothing was taken).
    """

    def __init__(
        self,
        reason: str,
        detail: str,
        *,
        retry_after_s: float = 0.0,
        remaining: Batch | None = None,
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.remaining = remaining

    def items_of(self, batch: Batch) -> int:
        """How many items of ``batch`` were not taken."""
        return batch.items if self.remaining is None else self.remaining.items


class Rejected(Exception):
    """Raised when a batch will never be taken, however often it is sent again.

    ``reason`` is a short constant word (a metric label), ``detail`` a sentence.
    ``items`` is how many items of the batch are meant (None: all of them); a receiver
    answers partial success when the others were taken.
    """

    def __init__(self, reason: str, detail: str, *, items: int | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.items = items

    def items_of(self, batch: Batch) -> int:
        """How many items of ``batch`` are rejected."""
        return batch.items if self.items is None else min(self.items, batch.items)


class Consumer(Protocol):
    """Takes batches; see the module's rules for what returning and raising mean."""

    async def consume(self, batch: Batch) -> None:
        """Take one batch, or raise `Refused` (retryable) or `Rejected` (permanent)."""


class Stage(Protocol):
    """A part with a life: started against the flow of data, drained along it.

    ``start`` -> ``close`` -> ``join`` -> ``terminate``; ``close`` and ``terminate``
    are safe twice and on a stage that never started. After ``terminate`` returned,
    the stage calls nobody and owns no task and no socket.
    """

    async def start(self) -> None:
        """Begin work. Raises when the stage can never work (a port in use)."""

    def close(self) -> None:
        """Stop intake at once: from now on ``consume`` raises `Refused`."""

    async def join(self, timeout_s: float) -> None:
        """Flush what is held, for at most ``timeout_s``; returns early when empty."""

    async def terminate(self) -> None:
        """Abandon what is left (counted by name) and release tasks and sockets."""
