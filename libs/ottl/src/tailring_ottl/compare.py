"""OTTL's comparison: values of different types are unequal, and nothing else.

Integers and floats compare as numbers; only nil and empty bytes equal nil.
Maps, lists and opaque values know only `==` and `!=`. The left side decides.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from tailring_ottl.values import Duration, Time

__all__ = ["compare", "same"]

_OPS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ORDERED = (bool, str, bytes, Time, Duration)


def compare(left: object, right: object, op: str) -> bool:
    """Whether ``left op right`` holds; never raises."""
    # Upstream reads an attribute of no bytes as an absent one.
    left = None if left == b"" else left
    right = None if right == b"" else right
    if left is None or right is None:
        equal = left is right
        return equal if op in ("==", "<=", ">=") else op == "!=" and not equal
    if _number(left) and _number(right):
        return _OPS[op](*_numbers(left, right))
    if type(left) is type(right) and isinstance(left, _ORDERED):
        return _OPS[op](left, right)
    if op == "==":
        return same(left, right)
    return op == "!=" and not same(left, right)


def same(left: object, right: object) -> bool:
    """Deep equality that tells types apart: 1 is neither 1.0 nor true."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(
            same(value, right[key]) for key, value in left.items()
        )
    return left == right


def _number(value: object) -> bool:
    return type(value) is int or type(value) is float


def _numbers(left: object, right: object) -> tuple[object, object]:
    # A mixed pair is compared as floats, as Go must: Python would compare exactly.
    assert isinstance(left, int | float)
    assert isinstance(right, int | float)
    if type(left) is type(right):
        return left, right
    return float(left), float(right)
