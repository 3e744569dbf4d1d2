"""What a forwarder needs from outside: a client of its backend, and its limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tailring_pipeline import Rejected, RetryConfig, Sizer

__all__ = ["Client", "ForwarderSettings"]


class Client(Protocol):
    """One connection to a backend; see `tailring_otlpio.OtlpClient`."""

    async def export(self, payload: bytes, *, timeout_s: float) -> Rejected | None:
        """Deliver one request, or raise `Refused` or `Rejected`.

        Returned is what the backend says of items that it did not take."""

    async def close(self) -> None:
        """Give up the connection."""


@dataclass(frozen=True, slots=True)
class ForwarderSettings:
    """Limits and times of a forwarder."""

    retry: RetryConfig
    timeout_s: float = 5.0
    sizer: Sizer = "requests"
    queue_max: int = 1000
    """What the backlog may hold, in the unit of ``sizer``."""
    queue_bytes_max: int = 64 << 20
    """And never more bytes than this: 1,000 requests of 64 MiB are no small queue."""
    sends_max: int = 10
    linger_s: float = 0.003
    """How long parts are gathered under load; 0 sends at once."""
    gather_bytes: int = 256 << 10
    """Gathered this much, they are sent without waiting longer."""
    gather_items: int = 0
    """So many items are not waited with either; 0: any number."""
    request_bytes_max: int = 2 << 20
    """No request to a backend is made larger by joining, and larger parts are cut."""

    @property
    def endless_retry(self) -> RetryConfig:
        """The waits without their end, which each part has for itself."""
        return self.retry.model_copy(update={"max_elapsed_time": 0})
