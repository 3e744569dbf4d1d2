"""The errors of this package."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ConfigError", "Problem", "RuntimeFailure", "StartError"]


class RuntimeFailure(Exception):
    """The base of everything that this package raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a configuration.

    ``source`` is ``file:line`` (or ``--set a.b``) where it is known, ``path`` the key
    path joined by ``::`` as upstream writes it, ``message`` the sentence, ``nearest``
    the valid name that the operator probably meant.
    """

    message: str
    path: str = ""
    source: str = ""
    nearest: str = ""

    def __str__(self) -> str:
        parts = [self.source, self.path, self.message]
        text = ": ".join(part for part in parts if part)
        return f"{text}; did you mean {self.nearest!r}?" if self.nearest else text


class ConfigError(RuntimeFailure):
    """Raised when a configuration cannot be used; holds every problem found.

    ``warnings`` are sentences that may explain a problem, such as a variable that is
    not set.
    """

    def __init__(
        self, problems: tuple[Problem, ...], *, warnings: tuple[str, ...] = ()
    ) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
        self.warnings = warnings


class StartError(RuntimeFailure):
    """Raised when a part can never work here, for example because a port is taken."""
