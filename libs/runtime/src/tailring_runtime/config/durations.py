"""Durations as Go writes them: "1m30s", "200ms", "0"; inside, whole nanoseconds."""

from __future__ import annotations

import re
from decimal import Decimal

__all__ = ["format_duration", "parse_duration"]

UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
# Go's time.Duration is an int64 of nanoseconds.
DURATION_MAX_NS = 2**63 - 1

_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_WHOLE = re.compile(rf"[-+]?(?:{_PART.pattern})+")


def parse_duration(text: str) -> int:
    """Nanoseconds of a duration in Go's notation. Raises ValueError with the cure."""
    if text in ("0", "+0", "-0"):
        return 0
    if _WHOLE.fullmatch(text) is None:
        raise ValueError(
            f"{text!r} is not a duration; write a number and a unit (300ms, 5s, 1m30s)"
        )
    total = sum(Decimal(n) * UNITS_NS[unit] for n, unit in _PART.findall(text))
    negative = text.startswith("-")
    if total > DURATION_MAX_NS + negative:
        raise ValueError(f"the duration {text!r} is longer than 292 years")
    return -int(total) if negative else int(total)


def format_duration(duration_ns: int) -> str:
    """The shortest notation that `parse_duration` reads back to the same number."""
    if duration_ns < 0:
        return "-" + format_duration(-duration_ns)
    if duration_ns < UNITS_NS["s"]:
        return _fraction(duration_ns)
    seconds_ns = duration_ns % UNITS_NS["m"]
    minutes = duration_ns // UNITS_NS["m"]
    parts = [(minutes // 60, "h"), (minutes % 60, "m")]
    text = "".join(f"{n}{unit}" for n, unit in parts if n)
    return text + _number(seconds_ns, "s") if seconds_ns else text


def _fraction(duration_ns: int) -> str:
    if duration_ns == 0:
        return "0s"
    for unit in ("ms", "us"):
        if duration_ns >= UNITS_NS[unit]:
            return _number(duration_ns, unit)
    return f"{duration_ns}ns"


def _number(duration_ns: int, unit: str) -> str:
    number = Decimal(duration_ns) / UNITS_NS[unit]
    return f"{number.normalize():f}{unit}"
