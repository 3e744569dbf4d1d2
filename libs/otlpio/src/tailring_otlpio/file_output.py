"""One file of records, rotated or not; blocking, so owned by a thread.

Rules:

* A record is in the file whole or not at all: what a full disk took of it is cut off.
* What was written is the system's at once; nothing waits in a buffer of this process.
* Rotation is upstream's: a file that would grow beyond its size is renamed to
  ``name-<time>-size.ext`` and a new one begun; the oldest renamed ones are removed. A
  record is never cut: one that is larger than a whole file has one to itself.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Final

from tailring_otlpio.file_config import RotationConfig

__all__ = ["FileOutput"]

_FILE_MODE: Final = 0o644
_FOLDER_MODE: Final = 0o755
_MEGABYTE: Final = 1 << 20
_MEGABYTES: Final = 100
_TIME: Final = "%Y-%m-%dT%H-%M-%S"
_BACKUP: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d)\.(\d{3})-[a-z]+")
_NS_PER_S: Final = 1_000_000_000
_NS_PER_MS: Final = 1_000_000


class FileOutput:
    """See the module. One owner; every method may block and raise OSError."""

    def __init__(
        self,
        path: Path,
        *,
        append: bool,
        rotation: RotationConfig | None,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Opens the file; with ``rotation`` one that is there is always appended to."""
        self._path = path
        self._rotation = rotation
        self._wall_ns = wall_ns
        self._bytes_max = 0
        if rotation is not None:
            self._bytes_max = (rotation.max_megabytes or _MEGABYTES) * _MEGABYTE
            path.parent.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
        self._descriptor = -1
        self._size = 0
        self._open(truncate=not append and rotation is None)

    def write(self, record: bytes) -> None:
        """Append one record; when this raises, nothing of it is in the file."""
        if self._bytes_max and self._size + len(record) > self._bytes_max:
            self._rotate()
        try:
            rest = memoryview(record)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            if self._regular:
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(record)

    def close(self) -> None:
        """Close the file. Safe twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _open(self, *, truncate: bool) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        if truncate:
            flags |= os.O_TRUNC
        self._descriptor = os.open(self._path, flags, _FILE_MODE)
        status = os.fstat(self._descriptor)
        self._regular = stat.S_ISREG(status.st_mode)
        self._size = status.st_size if self._regular else 0

    def _rotate(self) -> None:
        """Begin a new file; when this raises, the old one goes on."""
        if self._size == 0:
            return
        if self._path.exists():  # an attempt before may have failed halfway
            os.rename(self._path, self._backup_path())
        old = self._descriptor
        self._open(truncate=False)
        os.close(old)
        self._remove_old()

    def _backup_path(self) -> Path:
        now_ns = self._wall_ns()
        while True:
            moment = datetime.fromtimestamp(now_ns // _NS_PER_S, self._zone())
            millis = now_ns % _NS_PER_S // _NS_PER_MS
            name = (
                f"{self._path.stem}-{moment.strftime(_TIME)}.{millis:03}-size"
                f"{self._path.suffix}"
            )
            path = self._path.with_name(name)
            if not path.exists():
                return path
            now_ns += _NS_PER_MS  # never over one that is there

    def _zone(self) -> tzinfo | None:
        assert self._rotation is not None
        return None if self._rotation.localtime else UTC

    def _remove_old(self) -> None:
        rotation = self._rotation
        assert rotation is not None
        backups = sorted(self._backups(), reverse=True)
        kept = backups[: rotation.max_backups] if rotation.max_backups else backups
        oldest = ""
        if rotation.max_days:
            now_s = self._wall_ns() // _NS_PER_S
            cutoff = datetime.fromtimestamp(now_s, self._zone()) - timedelta(
                days=rotation.max_days
            )
            oldest = cutoff.strftime(_TIME)
        for at, (when, path) in enumerate(backups):
            if at >= len(kept) or when < oldest:
                path.unlink(missing_ok=True)

    def _backups(self) -> list[tuple[str, Path]]:
        """The renamed files, each with the time in its name."""
        found: list[tuple[str, Path]] = []
        for path in self._path.parent.iterdir():
            middle = path.name.removeprefix(f"{self._path.stem}-")
            middle = middle.removesuffix(self._path.suffix)
            match = _BACKUP.fullmatch(middle)
            if match and path.name == f"{self._path.stem}-{middle}{self._path.suffix}":
                found.append((f"{match[1]}.{match[2]}", path))
        return found
