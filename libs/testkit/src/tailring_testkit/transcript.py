"""Scenarios as transcripts: commands and what happened, in a file that can be read.

    # Two spans of one trace; the second one is late.
    arrive a b
    ----
    held 2

A case is a block of lines: comments, command lines, ``----``, the output, an empty
line. `check` runs every command of a file and compares what happened; with
``REWRITE=1`` in the environment it writes what happened into the file instead, to be
reviewed as a diff.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["check", "words_of"]

RULER = "----"


def check(path: Path, run: Callable[[str], str]) -> None:
    """Feed ``run`` each command of the transcript; fail where it says otherwise.

    ``run`` gets one command line and returns what happened, as lines of text. All
    commands of a case run in order and their outputs are joined.
    """
    written = path.read_text(encoding="utf-8")
    cases = [_Case(block) for block in written.strip().split("\n\n")]
    happened = "\n\n".join(case.replay(run) for case in cases) + "\n"
    if os.environ.get("REWRITE"):  # noqa: TID251 - a switch for whoever runs the tests
        path.write_text(happened, encoding="utf-8")
        return
    assert happened == written, f"{path.name} differs; REWRITE=1 shows it as a diff"


def words_of(command: str) -> tuple[str, list[str], dict[str, str]]:
    """A command line as verb, plain words and ``key=value`` options."""
    verb, *rest = command.split()
    plain = [word for word in rest if "=" not in word]
    options = dict(word.split("=", 1) for word in rest if "=" in word)
    return verb, plain, options


class _Case:
    """The lines of one block above its ruler."""

    def __init__(self, block: str) -> None:
        lines = block.split("\n")
        end = lines.index(RULER) if RULER in lines else len(lines)
        self._lines = lines[:end]

    def replay(self, run: Callable[[str], str]) -> str:
        """The block anew, with what happened now."""
        commands = [line for line in self._lines if not line.startswith("#")]
        if not commands:
            return "\n".join(self._lines)
        outputs = [output for output in map(run, commands) if output]
        return "\n".join([*self._lines, RULER, *outputs])
