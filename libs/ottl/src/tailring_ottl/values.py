"""Values of OTTL: Python's own, and three that Python lacks.

`None`, `bool`, `int` (64 bits, wrapping), `float`, `str`, `bytes`, `list` and `dict`
stand for themselves; `Time`, `Duration` and `Opaque` are added. `from_any` reads a
protobuf `AnyValue`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["Duration", "Opaque", "Time", "find", "from_any", "to_map", "wrap"]


@dataclass(frozen=True, slots=True, order=True)
class Time:
    """A point in time, nanoseconds since the Unix epoch."""

    unix_ns: int


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A span of time in nanoseconds."""

    ns: int


@dataclass(frozen=True, slots=True)
class Opaque:
    """A value that is equal to its own kind only: ids, a status, events, links."""

    kind: str
    value: object


def wrap(number: int) -> int:
    """The number as a signed integer of 64 bits, as Go's arithmetic leaves it."""
    return (number + 2**63) % 2**64 - 2**63


def from_any(value: Any) -> object:
    """The value of a protobuf `AnyValue`; an empty one is None."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "kvlist_value":
        return to_map(value.kvlist_value.values)
    if kind == "array_value":
        return [from_any(item) for item in value.array_value.values]
    return getattr(value, kind)


def to_map(pairs: Iterable[Any]) -> dict[str, object]:
    """A protobuf list of `KeyValue` as a map; of equal keys the first counts."""
    found: dict[str, object] = {}
    for pair in pairs:
        if pair.key not in found:
            found[pair.key] = from_any(pair.value)
    return found


def find(pairs: Iterable[Any], key: str) -> object:
    """The value of the first pair with this key, None without one."""
    for pair in pairs:
        if pair.key == key:
            return from_any(pair.value)
    return None
