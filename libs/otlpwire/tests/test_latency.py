"""The fold of latencies: however spans are cut into requests, the Collector's rule."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailring_otlpwire import (
    HeaderCache,
    Piece,
    TraceSlice,
    TraceSummary,
    WireError,
    group,
    lasts_within,
)
from tailring_testkit.otlp import request, resource_spans, span

TRACE = bytes(range(16))
INT64 = 2**63
NOW = 1_700_000_000_000_000_000

Times = tuple[int, int]

NEAR = st.integers(NOW, NOW + 50)
EDGES = st.sampled_from([0, 1, INT64 - 1, INT64, INT64 + 1, 2 * INT64 - 1])
ANY_TIME = st.one_of(NEAR, NEAR, EDGES, st.integers(0, 2 * INT64 - 1))
SPANS = st.one_of(
    st.lists(st.tuples(ANY_TIME, ANY_TIME), min_size=1, max_size=12),
    st.lists(st.tuples(NEAR, NEAR), min_size=1, max_size=12),
)


def signed(value: int) -> int:
    return value - 2 * INT64 if value >= INT64 else value


def naive(spans: Sequence[Times]) -> Times:
    """Least start and greatest end as the Collector keeps them."""
    low = high = 0
    for start, end in spans:
        if low == 0 or start < low:
            low = start
        if high == 0 or end > high:
            high = end
    return low, high


def naive_durations(spans: Sequence[Times]) -> list[int]:
    """The difference after each span, as Go's time.Sub has it."""
    candidates = []
    for count in range(1, len(spans) + 1):
        low, high = naive(spans[:count])
        difference = signed(high) - signed(low)
        candidates.append(max(-INT64, min(INT64 - 1, difference)))
    return candidates


def naive_longest(spans: Sequence[Times]) -> int:
    """The longest difference after any span."""
    return max(naive_durations(spans))


def slice_of(*scopes: Sequence[Times]) -> TraceSlice:
    """The slice of a request with one resource per given list of spans."""
    parts = [
        resource_spans(
            [span(TRACE, b"\1" * 8, start_ns=start, end_ns=end) for start, end in spans]
        )
        for spans in scopes
    ]
    (found,) = group(request(*parts), HeaderCache(10))
    return found


@settings(deadline=None)
@given(SPANS)
def test_slice_alone(spans: list[Times]) -> None:
    """A slice's own summary is the naive fold of its spans."""
    found = slice_of(spans)
    assert (found.start_ns, found.end_ns) == naive(spans)
    assert found.longest_ns == naive_longest(spans)


@settings(deadline=None)
@given(SPANS, st.data())
def test_fold_is_independent_of_cuts(spans: list[Times], data: st.DataObject) -> None:
    """After each slice the running summary is the naive fold of all spans so far."""
    cuts = data.draw(st.lists(st.integers(0, len(spans)), max_size=5))
    running = TraceSummary()
    for low, high in pairwise(sorted({0, len(spans), *cuts})):
        inner = data.draw(st.integers(low, high))
        halves = [half for half in (spans[low:inner], spans[inner:high]) if half]
        running.add(slice_of(*halves))
        assert (running.start_ns, running.end_ns) == naive(spans[:high])
        assert running.longest_ns == naive_longest(spans[:high])
        assert running.span_count == high


def test_gaps_count() -> None:
    """Two spans with a pause between them last from the first start to the last end."""
    running = TraceSummary()
    running.add(slice_of([(NOW, NOW + 2_000_000_000)]))
    running.add(slice_of([(NOW + 4_000_000_000, NOW + 6_000_000_000)]))
    assert running.longest_ns == 6_000_000_000


def test_prefix_can_be_the_longest() -> None:
    """A zero start makes a prefix last since 1970, and the next span ends that."""
    running = TraceSummary()
    running.add(slice_of([(NOW, NOW + 5), (0, NOW + 5), (NOW, NOW + 6)]))
    assert running.longest_ns == NOW + 5
    assert running.start_ns == NOW


def test_end_before_start_is_negative() -> None:
    """A span that ends before it starts has a negative duration, not zero."""
    assert slice_of([(NOW, NOW - 7)]).longest_ns == -7


def test_difference_saturates() -> None:
    """Times half the number range apart give the ends of the signed range."""
    assert slice_of([(INT64, INT64 - 1)]).longest_ns == INT64 - 1
    assert slice_of([(INT64 - 1, INT64)]).longest_ns == -INT64


def test_no_span_has_the_least_duration() -> None:
    """A summary of nothing is longer than no threshold."""
    empty = TraceSummary()
    assert (empty.start_ns, empty.end_ns, empty.longest_ns) == (0, 0, -INT64)


def test_other_facts_accumulate() -> None:
    """Status codes, the root and the counts are those of any slice added."""
    child = span(TRACE, b"\1" * 8, parent=b"\2" * 8, status=2)
    root = span(TRACE, b"\2" * 8)
    running = TraceSummary()
    for one in (child, root):
        (part,) = group(request(one), HeaderCache(10))
        running.add(part)
        assert running.root_seen == (one is root)
    assert running.status_mask == 0b101
    assert running.span_count == 2
    assert running.byte_count == child.ByteSize() + root.ByteSize() + 4


BOUNDS = st.one_of(
    st.integers(-60, 60), st.integers(-INT64, INT64 - 1), st.just(-INT64)
)


@settings(deadline=None)
@given(SPANS, BOUNDS, BOUNDS)
def test_a_window_is_met_by_any_prefix(
    spans: list[Times], least_ns: int, most_ns: int
) -> None:
    """A trace lasts within bounds when some prefix of its spans does."""
    half = len(spans) // 2
    cut = [part for part in (spans[:half], spans[half:]) if part]
    met = any(least_ns <= one <= most_ns for one in naive_durations(spans))
    assert lasts_within(slice_of(*cut).pieces, least_ns, most_ns) == met


def test_a_window_that_is_met_ends_the_reading() -> None:
    """Nothing behind the first prefix within the bounds is read."""
    (piece,) = slice_of([(NOW, NOW + 5)]).pieces
    malformed = Piece(b"", b"", b"\xff")
    assert lasts_within([piece, malformed], 5, 5)
    with pytest.raises(WireError):
        lasts_within([piece, malformed], 6, 6)
