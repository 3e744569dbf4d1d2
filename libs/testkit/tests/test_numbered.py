"""The numbered load and its tally find what they are made to find."""

from __future__ import annotations

import pytest

from tailring_testkit import otlp
from tailring_testkit.numbered import SPANS_PER_TRACE, Load, Tally

_SPANS = 4_000


@pytest.fixture
def load() -> Load:
    """A small load."""
    return Load(_SPANS, seed=3)


def _delivered(load: Load) -> tuple[Tally, list[bytes]]:
    tally = Tally(load)
    requests = list(load.requests())
    for request in requests:
        tally.take(request)
    return tally, requests


def test_the_whole_load_is_exact(load: Load) -> None:
    """All requests of a load, once each, leave nothing to complain about."""
    tally, _ = _delivered(load)
    assert tally.exact()
    assert tally.received == _SPANS


def test_half_a_trace_is_in_each_request(load: Load) -> None:
    """The spans of a trace are spread over two requests, half and half."""
    first, second = list(load.requests())[:2]
    ids = otlp.trace_ids_of(first)
    assert ids == otlp.trace_ids_of(second)
    assert len(otlp.spans_of(first)) == len(ids) * SPANS_PER_TRACE // 2


def test_a_lost_request_is_missing(load: Load) -> None:
    """Spans that never came are counted as missing."""
    tally = Tally(load)
    for request in list(load.requests())[1:]:
        tally.take(request)
    assert tally.missing == 1_000
    assert not tally.exact()


def test_a_repeated_request_is_repeated(load: Load) -> None:
    """Spans that came twice are counted once each as repeated."""
    tally, requests = _delivered(load)
    tally.take(requests[0])
    assert (tally.repeated, tally.missing) == (1_000, 0)
    assert not tally.exact()


def test_spans_of_nobody_are_strangers(load: Load) -> None:
    """A number that is not of the load, or that of another trace, is found."""
    tally, _ = _delivered(load)
    own_id = load.trace_ids[:16]
    stranger = otlp.span(own_id, (_SPANS + 1).to_bytes(8, "big"))
    misplaced = otlp.span(own_id, (_SPANS).to_bytes(8, "big"))
    tally.take(otlp.request(stranger, misplaced))
    assert (tally.strangers, tally.misplaced) == (1, 1)
