"""What can go wrong on a workstation, as sentences for the person at it."""

from __future__ import annotations

__all__ = ["BadEnd", "ChildDied", "CliError", "NotReady", "Stopped"]


class CliError(Exception):
    """Raised when a command cannot go on; the text is all that the user is shown."""


class ChildDied(CliError):
    """Raised when a process that the demo started ended on its own."""

    def __init__(self, name: str, *, code: int, last_lines: str) -> None:
        super().__init__(f"{name} ended on its own (exit code {code}):\n{last_lines}")
        self.name = name
        self.code = code


class BadEnd(CliError):
    """Raised when a process was asked to end and did not end well."""

    def __init__(self, name: str, *, code: int, last_lines: str) -> None:
        super().__init__(f"{name} did not end well (exit code {code}):\n{last_lines}")
        self.name = name
        self.code = code


class NotReady(CliError):
    """Raised when a process of the demo did not become ready in time."""

    def __init__(self, name: str, *, waited_s: float, last_lines: str) -> None:
        super().__init__(f"{name} was not ready after {waited_s:.0f} s:\n{last_lines}")
        self.name = name


class Stopped(CliError):
    """Raised when the user asked for the end a second time."""

    def __init__(self) -> None:
        super().__init__("stopped at once; nothing was counted")
