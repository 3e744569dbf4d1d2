"""Durations in Go's notation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailring_runtime.config import format_duration, parse_duration

S = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "duration_ns"),
    [
        ("0", 0),
        ("0s", 0),
        ("5s", 5 * S),
        ("1m30s", 90 * S),
        ("200ms", S // 5),
        ("1.5h", 5400 * S),
        (".5s", S // 2),
        ("2.s", 2 * S),
        ("-1m", -60 * S),
        ("+3us", 3000),
        ("7µs", 7000),
        ("7μs", 7000),
        ("12ns", 12),
        ("1h2m3s4ms", 3723 * S + 4_000_000),
        ("0.5ns", 0),
    ],
)
def test_durations_are_read_as_go_reads_them(text: str, duration_ns: int) -> None:
    """A duration is a sum of numbers with units, in whole nanoseconds."""
    assert parse_duration(text) == duration_ns


@pytest.mark.parametrize(
    "text", ["", "5", "5 s", "s", "5x", "1m 30s", "--1s", ".s", "٣s"]
)
def test_what_is_no_duration_is_refused_with_the_cure(text: str) -> None:
    """Text without number or unit is refused, and the message shows how to write it."""
    with pytest.raises(ValueError, match="300ms, 5s, 1m30s"):
        parse_duration(text)


def test_a_duration_has_an_end() -> None:
    """More nanoseconds than an int64 holds are refused."""
    with pytest.raises(ValueError, match="292 years"):
        parse_duration("3000000h")
    assert parse_duration("-9223372036854775808ns") == -(2**63)
    with pytest.raises(ValueError, match="292 years"):
        parse_duration("9223372036854775808ns")


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (0, "0s"),
        (5 * S, "5s"),
        (90 * S, "1m30s"),
        (3600 * S, "1h"),
        (S // 5, "200ms"),
        (1500, "1.5us"),
        (7, "7ns"),
        (S * 3 // 2, "1.5s"),
        (-S, "-1s"),
    ],
)
def test_durations_are_written_shortly(duration_ns: int, text: str) -> None:
    """A duration is written in its largest units."""
    assert format_duration(duration_ns) == text


@given(st.integers(-(2**62), 2**62))
def test_a_written_duration_reads_back(duration_ns: int) -> None:
    """Reading what was written gives the same number for every int64 half as long."""
    assert parse_duration(format_duration(duration_ns)) == duration_ns
