"""OTTL's arithmetic: 64-bit integers that wrap, floats, times and durations."""

from __future__ import annotations

from tailring_ottl.errors import EvalError
from tailring_ottl.values import Duration, Time, wrap

__all__ = ["calculate", "negate"]

_INT_MAX = 2**63 - 1


def calculate(left: object, right: object, op: str) -> object:
    """``left op right``; EvalError for types that do not fit and division by zero."""
    if isinstance(left, Time | Duration):
        return _moment(left, right, op)
    if type(left) not in (int, float):
        raise EvalError(f"{left} must be int64, float64, time.Time or time.Duration")
    if type(right) not in (int, float):
        raise EvalError(f"{right} must be int64 or float64")
    if isinstance(left, int) and isinstance(right, int):
        return _integers(left, right, op)
    assert isinstance(left, int | float)
    assert isinstance(right, int | float)
    return _floats(float(left), float(right), op)


def negate(value: object) -> object:
    """The number with the other sign; EvalError for what is no number."""
    if type(value) is int:
        return wrap(-value)
    if type(value) is float:
        return -value
    name = type(value).__name__
    raise EvalError(f"unsupported unary minus operation on type {name}")


def _integers(left: int, right: int, op: str) -> int:
    if op == "/":
        if right == 0:
            raise EvalError("attempted to divide by 0")
        size = abs(left) // abs(right)
        return wrap(size if (left < 0) == (right < 0) else -size)
    if op == "*":
        return wrap(left * right)
    return wrap(left + right if op == "+" else left - right)


def _floats(left: float, right: float, op: str) -> float:
    if op == "/":
        if right == 0:
            raise EvalError("attempted to divide by 0")
        return left / right
    if op == "*":
        return left * right
    return left + right if op == "+" else left - right


def _moment(left: Time | Duration, right: object, op: str) -> object:
    if isinstance(left, Time) and isinstance(right, Duration) and op in "+-":
        return Time(left.unix_ns + (right.ns if op == "+" else -right.ns))
    if isinstance(left, Time) and isinstance(right, Time) and op == "-":
        gap = left.unix_ns - right.unix_ns
        return Duration(max(-_INT_MAX - 1, min(_INT_MAX, gap)))
    if isinstance(left, Duration) and isinstance(right, Duration) and op in "+-":
        return Duration(wrap(left.ns + (right.ns if op == "+" else -right.ns)))
    if isinstance(left, Duration) and isinstance(right, Time) and op == "+":
        return Time(right.unix_ns + left.ns)
    raise EvalError(f"{left} {op} {right}: these do not fit together")
