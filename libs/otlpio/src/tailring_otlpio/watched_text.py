"""A secret in a file, as text that is read again when the file changes."""

from __future__ import annotations

import asyncio
from typing import Final

from tailring_otlpio.watched_file import WatchedFile, reason_of
from tailring_runtime.errors import StartError
from tailring_runtime.logs import get_logger

__all__ = ["WatchedText"]

# As soon as a person can tell; a look is one system call.
_INTERVAL_S: Final = 1.0


class WatchedText:
    """The text of a file without space around it; owned by the event loop.

    ``where`` is the key path that names the file. The text is in no message.
    """

    def __init__(self, path: str, *, where: str) -> None:
        self.text = ""
        self._file = WatchedFile(path)
        self._where = where
        self._next_s = 0.0
        self._told = ""
        self._log = get_logger(file=path)

    def load(self) -> None:
        """Read it for the first time. Raises `StartError` when that is impossible."""
        try:
            self.text = self._read()
        except (OSError, ValueError) as error:
            why = reason_of(error)
            raise StartError(f"{self._where}: {self._file.path}: {why}") from None

    def look(self) -> bool:
        """Read it again if it changed, once a second; whether it says something else.

        What cannot be read leaves what there was, with one log line.
        """
        now_s = asyncio.get_running_loop().time()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + _INTERVAL_S
        if not self._file.changed():
            return False
        try:
            text = self._read()
        except (OSError, ValueError) as error:
            self._tell(reason_of(error))
            return False
        self._told = ""
        changed, self.text = text != self.text, text
        if changed:
            self._log.info("secret file was read again")
        return changed

    def _read(self) -> str:
        text = self._file.read().decode().strip()
        if not text:
            raise ValueError("it is empty")
        return text

    def _tell(self, why: str) -> None:
        if why != self._told:
            self._told = why
            self._log.error("secret file cannot be read, keeping what it said", why=why)
