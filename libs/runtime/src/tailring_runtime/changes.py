"""When to read the configuration again: at SIGHUP, or when its files have changed.

Files are compared by what they hold, so a symbolic link that is swapped (a ConfigMap)
is a change, and a file that was only touched is none. What changed is taken when two
looks in a row saw the same, because nobody writes a file in one moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tailring_runtime.config.sources import files_of

__all__ = ["Changes"]


class Changes:
    """Waits for a reason to read ``uris`` again; lives on one event loop."""

    def __init__(self, uris: Sequence[str], *, poll_s: float) -> None:
        """``poll_s`` is the time between two looks at the files; 0: never."""
        self._paths = [Path(path) for path in files_of(uris)]
        self._poll_s = poll_s
        self._asked = asyncio.Event()
        self._taken = self._digests()

    @contextmanager
    def following(self) -> Iterator[None]:
        """Take SIGHUP meanwhile."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._asked.set)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    async def wait(self) -> str:
        """Return at the next reason, with its name: "SIGHUP" or "file"."""
        seen = self._taken
        while not self._asked.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), self._poll_s or None)
                break
            now = await asyncio.to_thread(self._digests)
            if now != self._taken and now == seen and all(now):
                self._taken = now
                return "file"
            seen = now
        self._asked.clear()
        self._taken = await asyncio.to_thread(self._digests)
        return "SIGHUP"

    def _digests(self) -> list[bytes]:
        return [_digest(path) for path in self._paths]


def _digest(path: Path) -> bytes:
    try:
        return hashlib.blake2b(path.read_bytes()).digest()
    except OSError:
        return b""  # being replaced, or gone: nothing to take
