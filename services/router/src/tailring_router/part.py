"""A part of a request on its way to one backend, and what became of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum

__all__ = [
    "DELIVERED",
    "GONE",
    "MOVED",
    "REPEATED",
    "STOPPED",
    "UNROUTABLE",
    "Outcome",
    "Part",
    "Result",
    "now_ns",
]


def now_ns() -> int:
    """The clock of deadlines and retries: the event loop's, in nanoseconds."""
    return int(asyncio.get_running_loop().time() * 1e9)


class Outcome(Enum):
    """What a forwarder did with a part."""

    DELIVERED = "delivered"
    """The backend acknowledged it."""
    REPEATED = "repeated"
    """A backend acknowledged the same items before; not sent again."""
    MOVED = "moved"
    """Not delivered: its backend left, or is unreachable while the ring changed."""
    FAILED = "failed"
    """Given up after the retries that are configured; the same bytes may succeed."""
    REJECTED = "rejected"
    """The backend refused it for good."""


@dataclass(frozen=True, slots=True)
class Result:
    """An outcome and why; ``rejected`` counts items of a delivered part that the
    backend did not take (OTLP partial success)."""

    outcome: Outcome
    reason: str = ""
    detail: str = ""
    retry_after_s: float = 0.0
    rejected: int = 0


DELIVERED = Result(Outcome.DELIVERED)
REPEATED = Result(Outcome.REPEATED)
MOVED = Result(Outcome.MOVED, "moved", "the backend left the ring")
# Why an item without a routing key was rejected.
UNROUTABLE = "unroutable"
GONE = Result(Outcome.FAILED, "abandoned", "the sender stopped waiting")
STOPPED = Result(Outcome.FAILED, "shutdown", "the router is stopping")


class Part:
    """Encoded items for one backend.

    ``result`` is resolved once, by whoever has the part. ``abandoned`` says that its
    sender is gone: it is not sent, or not sent again. ``deadline_ns`` (`now_ns`, 0:
    none): no retry begins after it. ``tried_ns`` (0: never) is when the first try
    began, at this backend or at one that had the part before.

    Compared and hashed by identity: equal bytes are not the same part.
    """

    __slots__ = (
        "abandoned",
        "address",
        "deadline_ns",
        "items",
        "payload",
        "result",
        "tried_ns",
    )

    def __init__(
        self,
        payload: bytes,
        items: int,
        *,
        address: str,
        deadline_ns: int = 0,
        tried_ns: int = 0,
    ) -> None:
        self.payload = payload
        self.items = items
        self.address = address
        self.deadline_ns = deadline_ns
        self.tried_ns = tried_ns
        self.abandoned = False
        loop = asyncio.get_running_loop()
        self.result: asyncio.Future[Result] = loop.create_future()

    def resolve(self, result: Result) -> None:
        """Say what became of it; only the first word counts."""
        if not self.result.done():
            self.result.set_result(result)
