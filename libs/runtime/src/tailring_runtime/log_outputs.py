"""Where log lines go: each to every output, and none of them may hold anybody up.

A disk that is full or a pipe whose reader died fails the write of a line. Whoever logs
has no answer to that and must not meet it, least of all on the way of a batch: the
line is lost at that output, and counted. The other outputs get it, and the next line is
tried everywhere again.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TextIO, cast

from tailring_runtime.metrics import Counter, MetricSpec

__all__ = ["LOST_LINES", "LOST_LOG_LINES", "Outputs", "open_outputs"]

LOST_LOG_LINES = MetricSpec(
    "tailring_log_lost_lines",
    "counter",
    "Log lines that an output did not take: a full disk, a pipe without a reader.",
    unit="{lines}",
)

# One for the process, as its logs are.
LOST_LINES = Counter()


class _Output(Protocol):
    def write(self, text: str) -> None:
        """Write and flush. Raises OSError, or ValueError when it is closed."""


class Outputs:
    """A stream for log lines; writing to it never raises what an output did."""

    def __init__(self, outputs: Sequence[_Output]) -> None:
        self._outputs = outputs

    def write(self, text: str) -> int:
        """Write one line to every output that takes it."""
        for output in self._outputs:
            try:
                output.write(text)
            except (OSError, ValueError):
                LOST_LINES.value += 1
        return len(text)

    def flush(self) -> None:
        """Each write has flushed."""


class _Standard:
    """stderr or stdout as it is now; tests and supervisors exchange it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def write(self, text: str) -> None:
        stream = cast(TextIO, getattr(sys, self._name))
        stream.write(text)
        stream.flush()


class _File:
    """An output file, opened for each write so that rotating it away is safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.open("a", encoding="utf-8").close()

    def write(self, text: str) -> None:
        # Names from outside may hold what is no text; the line matters more.
        with self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)


def open_outputs(outputs: Sequence[str]) -> Outputs:
    """The outputs of these names: stderr, stdout, or the path of a file.

    Raises OSError when a file cannot be opened for appending.
    """
    return Outputs(
        [
            _Standard(name)
            if name in ("stderr", "stdout")
            else _File(Path(name.removeprefix("file://")))
            for name in outputs
        ]
    )
