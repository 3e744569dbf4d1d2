"""A small file that is read again when it changed.

There is no task and no thread: whoever uses the contents asks first, and the file is
looked at when the last look is longer ago than an interval. A file counts as changed
when its device, inode, size or time of change does, so that a new symlink (how
Kubernetes replaces a mounted secret) is seen as well.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["FILE_BYTES_MAX", "WatchedFile", "reason_of"]

# Certificates and lists of tokens are far smaller; a device is without end.
FILE_BYTES_MAX: Final = 4 << 20

_Mark = tuple[int, int, int, int]


class WatchedFile:
    """One path and what it held when it was last read."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._mark: _Mark | None = None

    def read(self) -> bytes:
        """The contents now. Raises OSError, or ValueError when it is too large."""
        with Path(self.path).open("rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(FILE_BYTES_MAX + 1)
        if len(data) > FILE_BYTES_MAX:
            raise ValueError(f"larger than {FILE_BYTES_MAX} bytes")
        self._mark = _mark(status)
        return data

    def changed(self) -> bool:
        """Whether it is another file than the one that was read; a lost one is."""
        try:
            return _mark(Path(self.path).stat()) != self._mark
        except OSError:
            return True


def _mark(status: os.stat_result) -> _Mark:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def reason_of(error: OSError | ValueError) -> str:
    """Why a file could not be used, without its name."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
