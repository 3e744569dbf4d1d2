"""What `always_sample`, `status_code` and `latency` say of a trace."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailring_otlpwire import HeaderCache, group
from tailring_sampler.policies import (
    AlwaysSample,
    Latency,
    LatencyWindow,
    Policy,
    StatusCode,
    Vote,
)
from tailring_sampler.record import TraceRecord
from tailring_sampler.tracebuffer import TraceBuffer
from tailring_testkit import otlp

TRACE = bytes(15) + b"\x01"
NOW_NS = 1_700_000_000_000_000_000
MS = 1_000_000

Times = tuple[int, int]


def held(payloads: Iterable[bytes]) -> TraceRecord:
    """The record of `TRACE` after these requests."""
    buffer = TraceBuffer(traces_max=10, wait_ns=1, from_last=False)
    headers = HeaderCache(16)
    for payload in payloads:
        buffer.add(group(payload, headers), 0)
    record = buffer.get(TRACE)
    assert record is not None
    return record


def timed(*spans: Times) -> TraceRecord:
    """A trace whose spans arrive one by one with these (start, end) times."""
    return held(
        otlp.request(otlp.span(TRACE, bytes(7) + bytes([n]), start_ns=s, end_ns=e))
        for n, (s, e) in enumerate(spans, 1)
    )


def lasting(duration_ns: int) -> TraceRecord:
    """A trace of one span of that duration."""
    return timed((NOW_NS, NOW_NS + duration_ns))


def keeps(policy: Policy, record: TraceRecord) -> bool:
    """Whether the policy votes for the trace."""
    return policy.evaluate(record, 0) is Vote.SAMPLED


def test_always_sample_keeps_everything() -> None:
    """Policy `always_sample` votes for any trace."""
    assert keeps(AlwaysSample(), lasting(0))


@pytest.mark.parametrize(
    ("codes", "statuses", "kept"),
    [
        (["ERROR"], [0, 1, 2], True),
        (["ERROR"], [0, 1], False),
        (["OK"], [0, 1], True),
        (["UNSET"], [2, 0], True),
        (["UNSET"], [1, 2], False),
        (["OK", "ERROR"], [0], False),
        (["OK", "ERROR", "UNSET"], [0], True),
    ],
)
def test_status_code_looks_for_any_span(
    codes: list[str], statuses: list[int], kept: bool
) -> None:
    """One span with one of the codes is enough."""
    spans = [
        otlp.span(TRACE, bytes(7) + bytes([n]), status=status)
        for n, status in enumerate(statuses)
    ]
    assert keeps(StatusCode(codes), held([otlp.request(*spans)])) is kept


def test_a_span_without_a_status_is_unset() -> None:
    """An absent status message counts as UNSET."""
    record = held([otlp.request(otlp.span(TRACE, bytes(8)))])
    assert keeps(StatusCode(["UNSET"]), record)


@pytest.mark.parametrize(
    ("threshold_ms", "duration_ns", "kept"),
    [
        (5000, 5000 * MS, False),
        (5000, 5_000_999_999, False),
        (5000, 5001 * MS, True),
        (0, 0, False),
        (0, 999_999, False),
        (0, MS, True),
        (-1, 0, True),
        (-1, -MS + 1, True),
        (-1, -MS, False),
    ],
)
def test_latency_is_above_the_threshold_in_whole_milliseconds(
    threshold_ms: int, duration_ns: int, kept: bool
) -> None:
    """The duration is truncated toward zero before it is compared."""
    assert keeps(Latency(threshold_ms), lasting(duration_ns)) is kept


@pytest.mark.parametrize(
    ("duration_ns", "kept"),
    [
        (5000 * MS, False),
        (5001 * MS, True),
        (10_000 * MS, True),
        (10_000_999_999, True),
        (10_001 * MS, False),
    ],
)
def test_a_latency_window_includes_its_upper_end(duration_ns: int, kept: bool) -> None:
    """The window 5000..10000 is open below and closed above."""
    assert keeps(LatencyWindow(5000, 10_000), lasting(duration_ns)) is kept


def test_a_start_of_zero_lasts_since_1970() -> None:
    """A span without a start is longer than any threshold."""
    assert keeps(Latency(10**9), timed((0, NOW_NS)))


@pytest.mark.parametrize("times", [(NOW_NS, 0), (NOW_NS, NOW_NS - 1), (0, 0)])
def test_no_end_or_an_early_end_is_no_duration(times: Times) -> None:
    """Without an end, or with one before the start, no threshold of 0 is reached."""
    assert not keeps(Latency(0), timed(times))


def test_gaps_count() -> None:
    """Two spans two seconds apart last from the first start to the last end."""
    second = 1000 * MS
    spans = (
        (NOW_NS, NOW_NS + 2 * second),
        (NOW_NS + 4 * second, NOW_NS + 6 * second),
    )
    assert keeps(Latency(5999), timed(*spans))
    assert not keeps(Latency(6000), timed(*spans))


@pytest.mark.parametrize(("seconds", "kept"), [((6, 20), True), ((20, 6), False)])
def test_a_latency_window_depends_on_the_order(
    seconds: tuple[int, int], kept: bool
) -> None:
    """A long trace is kept when it was in the window after some span of its arrival."""
    spans = [(NOW_NS, NOW_NS + s * 1000 * MS) for s in seconds]
    assert keeps(LatencyWindow(5000, 10_000), timed(*spans)) is kept


def test_a_negative_upper_bound_is_a_window() -> None:
    """Only an upper bound of 0 means none; a negative one keeps what ends early."""
    assert keeps(LatencyWindow(-10, -1), lasting(-5 * MS))
    assert not keeps(LatencyWindow(-10, -1), lasting(5 * MS))


LEAST, MOST = -(2**63), 2**63 - 1


@pytest.mark.parametrize(
    ("lower_ms", "upper_ms", "duration_ns", "kept"),
    [
        (LEAST, MOST, 5 * MS, True),
        (LEAST, -1, -MS, True),
        (LEAST, -1, -MS + 1, False),
        (-1, MOST, -MS + 1, True),
        (MOST, MOST, 5 * MS, False),
        (LEAST, LEAST, -5 * MS, False),
        (LEAST, MOST, LEAST, True),
    ],
)
def test_a_latency_window_may_be_any_two_numbers(
    lower_ms: int, upper_ms: int, duration_ns: int, kept: bool
) -> None:
    """Bounds that no 64-bit duration reaches hold all or nothing, and never wrap."""
    ends = (2**63 - 1, 2**63) if duration_ns == LEAST else (NOW_NS + duration_ns,)
    start_ns = 2**63 - 1 if duration_ns == LEAST else NOW_NS
    record = timed(*((start_ns, end_ns) for end_ns in ends))
    assert keeps(LatencyWindow(lower_ms, upper_ms), record) is kept


TIMES = st.one_of(
    st.just(0),
    st.integers(NOW_NS, NOW_NS + 20 * MS),
    st.integers(0, 2**64 - 1),
)


def prefixes_ms(spans: list[Times]) -> list[int]:
    """The textbook form: the duration after each span, in whole milliseconds."""
    found = []
    start = end = 0
    for span_start, span_end in spans:
        start = span_start if start == 0 else min(start, span_start)
        end = max(end, span_end)
        signed = [t - 2**64 if t >= 2**63 else t for t in (start, end)]
        duration = max(-(2**63), min(signed[1] - signed[0], 2**63 - 1))
        found.append(int(duration / MS) if abs(duration) < 2**52 else _ms(duration))
    return found


def _ms(duration: int) -> int:
    return duration // MS if duration >= 0 else -(-duration // MS)


@given(st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=5), st.integers(-2, 25))
def test_latency_is_that_of_the_longest_prefix(
    spans: list[Times], threshold_ms: int
) -> None:
    """The summary answers as if the duration were tested after each span."""
    expected = any(ms > threshold_ms for ms in prefixes_ms(spans))
    assert keeps(Latency(threshold_ms), timed(*spans)) is expected


@given(
    st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=5),
    st.integers(-2, 25),
    st.integers(-2, 25),
)
def test_a_latency_window_is_met_by_any_prefix(
    spans: list[Times], lower_ms: int, upper_ms: int
) -> None:
    """The window is tested after each span in the order of arrival."""
    expected = any(lower_ms < ms <= upper_ms for ms in prefixes_ms(spans))
    assert keeps(LatencyWindow(lower_ms, upper_ms), timed(*spans)) is expected
