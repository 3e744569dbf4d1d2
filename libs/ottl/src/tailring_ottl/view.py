"""What a condition is asked of: one span, or one event of it, with what lies above.

The fields are opentelemetry-proto's messages; whoever makes a view decides when to
decode. A view of a span has no event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Getter", "View", "constant"]


@dataclass(slots=True)
class View:
    """One span under its resource and scope; with an event for `spanevent` lists."""

    resource: Any
    scope: Any
    span: Any
    event: Any = None
    event_index: int = 0
    resource_schema_url: str = ""
    scope_schema_url: str = ""


@dataclass(frozen=True, slots=True)
class Getter:
    """A compiled value: ``get(view)`` answers or raises EvalError.

    ``literal`` says that the value stands in the text, so that a wrong type is a
    mistake of configuration and not of a span.
    """

    get: Callable[[View], object]
    literal: bool = False


def constant(value: object) -> Getter:
    """The getter of a literal."""
    return Getter(lambda _view: value, literal=True)
