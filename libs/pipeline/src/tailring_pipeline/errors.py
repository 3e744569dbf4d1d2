"""Errors of the parts inside this package; between stages only `Refused` travels."""

from __future__ import annotations

__all__ = ["Closed", "Empty", "Full", "QueueError", "TooLarge"]


class QueueError(Exception):
    """Base of what a `BoundedQueue` raises."""


class Full(QueueError):
    """Raised when an item does not fit now; it may fit later."""


class TooLarge(Full):
    """Raised when an item is larger than the whole queue; it never fits."""


class Empty(QueueError):
    """Raised when nothing is queued and the caller does not wait."""


class Closed(QueueError):
    """Raised when the queue takes nothing any more, or has nothing left to give."""
