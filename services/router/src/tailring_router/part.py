"""A part of a request on its way to one backend, and what became of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum

__all__ = ["DELIVERED", "MOVED", "Outcome", "Part", "Result", "now_ns"]


def now_ns() -> int:
    """The clock of the running event loop: monotonic, the one of all timers here."""
    return int(asyncio.get_running_loop().time() * 1e9)


class Outcome(Enum):
    """What a forwarder did with a part."""

    DELIVERED = "delivered"
    """The backend acknowledged it."""
    MOVED = "moved"
    """Not sent: its backend left or cannot be reached and the ring has changed."""
    FAILED = "failed"
    """Given up after the retries that are configured; the same bytes may succeed."""
    REJECTED = "rejected"
    """The backend refused it for good."""


@dataclass(frozen=True, slots=True)
class Result:
    """An outcome and why; ``rejected`` counts spans of a delivered part that the
    backend did not take (OTLP partial success)."""

    outcome: Outcome
    reason: str = ""
    detail: str = ""
    retry_after_s: float = 0.0
    rejected: int = 0


DELIVERED = Result(Outcome.DELIVERED)
MOVED = Result(Outcome.MOVED, "moved", "the backend left the ring")


class Part:
    """Encoded spans for one backend.

    ``result`` is resolved once by the forwarder. Whoever waits may cancel it: a part
    that is still queued is then dropped, one in flight is not recalled.
    ``deadline_ns`` (`now_ns`, 0: none): no retry begins after it.
    """

    __slots__ = ("address", "deadline_ns", "payload", "result", "spans")

    def __init__(
        self, payload: bytes, spans: int, *, address: str, deadline_ns: int = 0
    ) -> None:
        self.payload = payload
        self.spans = spans
        self.address = address
        self.deadline_ns = deadline_ns
        loop = asyncio.get_running_loop()
        self.result: asyncio.Future[Result] = loop.create_future()

    @property
    def abandoned(self) -> bool:
        """True when nobody waits for it any more."""
        return self.result.cancelled()

    def resolve(self, result: Result) -> None:
        """Say what became of it; ignored when nobody waits any more."""
        if not self.result.done():
            self.result.set_result(result)
