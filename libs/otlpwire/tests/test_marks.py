"""Marks in the resources of a request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailring_otlpwire import (
    LOGS,
    METRICS,
    TRACES,
    HeaderCache,
    WireError,
    count,
    group,
    join,
    marked,
    unmarked,
)
from tailring_testkit import otlp
from tailring_testkit.signal_requests import requests_of

ANY_REQUEST = st.sampled_from([TRACES, LOGS, METRICS]).flatmap(
    lambda kind: requests_of(kind).map(lambda payload: (kind, payload))
)
ONE = otlp.request(otlp.span(b"\x01" * 16, b"a" * 8))
TWO = otlp.request(otlp.span(b"\x01" * 16, b"b" * 8))


@given(ANY_REQUEST, st.binary(min_size=1, max_size=300))
def test_a_mark_comes_off_again(case: tuple[int, bytes], mark: bytes) -> None:
    """What was marked has its items, and without the mark it is what it was."""
    kind, payload = case
    request = marked(payload, mark)
    assert count(request, kind) == count(payload, kind)
    assert marked(request, b"") == payload
    if payload:
        assert unmarked(request) == [(mark, payload)]


def test_a_second_mark_takes_the_place_of_the_first() -> None:
    """Whoever marks last counts, so no sender can forge a mark."""
    assert marked(marked(ONE, b"a"), b"b") == marked(ONE, b"b")


def test_requests_with_different_marks_come_apart_again() -> None:
    """Joined by concatenation, each mark has its own request, in order."""
    joined = marked(ONE, b"a") + TWO + marked(TWO, b"b") + marked(TWO, b"a")
    assert unmarked(joined) == [(b"a", ONE + TWO), (b"", TWO), (b"b", TWO)]


def test_spans_of_one_trace_keep_their_own_marks() -> None:
    """Grouped into a trace and joined again, spans are still under their marks."""
    headers = HeaderCache(10)
    pieces = [
        piece
        for payload in (marked(ONE, b"a"), marked(TWO, b"b"))
        for part in group(payload, headers)
        for piece in part.pieces
    ]
    assert unmarked(join(pieces)) == [(b"a", ONE), (b"b", TWO)]


def test_fields_of_the_request_stay_with_the_first() -> None:
    """A field that is no resource is not lost."""
    unknown = b"\x7a\x01x"
    assert unmarked(unknown + marked(ONE, b"a")) == [(b"a", ONE + unknown)]
    assert unmarked(unknown) == [(b"", unknown)]


def test_garbage_is_an_error() -> None:
    """Bytes that are no request are refused."""
    for work in (lambda: marked(b"\x0a\x05", b"m"), lambda: unmarked(b"\x0a\x05")):
        with pytest.raises(WireError):
            work()
