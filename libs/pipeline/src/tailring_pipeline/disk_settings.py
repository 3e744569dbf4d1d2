"""Where a queue on disk lies, and what bounds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["DiskSettings"]

MEMORY_BYTES_MAX: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class DiskSettings:
    """Where and how; ``folder_bytes_max`` 0 does not limit what is on disk."""

    folder: Path
    fsync: bool = False
    folder_bytes_max: int = 0
    lock_timeout_s: float = 1.0
    leftovers: Callable[[], Sequence[Path]] = tuple
    memory_bytes_max: int = MEMORY_BYTES_MAX
    # See `Store.park_s`.
    park_s: float | None = None
