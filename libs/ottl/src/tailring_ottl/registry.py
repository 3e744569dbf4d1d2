"""Converters: how one is declared and how a call finds it.

A converter is a module of `tailring_ottl.functions`::

    @converter("Concat", Param("values", list_of=True), Param("delimiter", "string"))
    def concat(values: list[Getter], delimiter: str) -> Callable[[View], object]:
        ...

The decorated function runs once, when a condition is compiled, and returns what runs
per span. Parameters may be given by position or by name (snake case); absent optional
ones are left out. Kinds: `getter` passes a `Getter`; `string`, `int`, `float`, `bool`
take a literal and pass its value. Conversions of a getter's value (StringGetter,
StringLikeGetter...) are the converter's own; it raises ConditionError when compiled
over a literal of a wrong type, and EvalError per span.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tailring_ottl.view import View

__all__ = ["CONVERTERS", "Converter", "Param", "converter"]

Build = Callable[..., Callable[[View], object]]


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter: its name, kind, whether a list of it, whether it may be absent."""

    name: str
    kind: str = "getter"
    list_of: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Converter:
    """A declared converter; ``span_only`` ones are unknown to `spanevent` lists."""

    name: str
    params: tuple[Param, ...]
    build: Build
    span_only: bool = False


CONVERTERS: dict[str, Converter] = {}


def converter(
    name: str, *params: Param, span_only: bool = False
) -> Callable[[Build], Build]:
    """Declares the decorated builder under OTTL's name of the converter."""

    def declare(build: Build) -> Build:
        """Keeps the builder in the table."""
        assert name not in CONVERTERS
        CONVERTERS[name] = Converter(name, params, build, span_only)
        return build

    return declare


def known(default: str) -> dict[str, Any]:
    """The converters of a list of this context."""
    return {
        name: found
        for name, found in CONVERTERS.items()
        if default == "span" or not found.span_only
    }
