"""Errors of the parts inside this package; between stages only `Refused` travels."""

from __future__ import annotations

from pathlib import Path

from tailring_runtime.errors import StartError

__all__ = [
    "Closed",
    "Empty",
    "Full",
    "QueueError",
    "StorageInUse",
    "TooLarge",
    "Unwritable",
]


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


class Unwritable(QueueError):
    """Raised when the disk does not take a record now; nothing of it is left there.

    ``full``: for want of room, which may come.
    """

    def __init__(self, detail: str, *, full: bool) -> None:
        super().__init__(detail)
        self.detail = detail
        self.full = full


class StorageInUse(StartError):
    """Raised when another process has the folder of a queue on disk."""

    def __init__(self, folder: Path, owner: str) -> None:
        super().__init__(
            f"{folder} is in use by another process (pid {owner or 'unknown'}); give"
            " each process a directory of its own in file_storage, or stop the other"
        )
        self.folder = folder
        self.owner = owner
