"""Randomness and thresholds in tracestates; the vectors are upstream's behaviour."""

from __future__ import annotations

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from tailring_otlpwire import Piece, trace_states, with_trace_states
from tailring_sampler.tracestate import (
    NEVER,
    parse,
    randomness_of,
    threshold_of,
    threshold_text,
    with_threshold,
)
from tailring_testkit import otlp

HALF = 1 << 55
RV = b"0123456789abcd"


@pytest.mark.parametrize(
    ("percentage", "text"),
    [
        (100, b"0"),
        (99.9, b"004189374bc6a"),
        (75, b"4"),
        (50, b"8"),
        (33, b"ab851eb851eb84"),
        (25, b"c"),
        (10, b"e6666666666666"),
        (5, b"f3333333333333"),
        (1, b"fd70a3d70a3d71"),
        (0.1, b"ffbe76c8b43958"),
    ],
)
def test_a_share_is_written_as_a_threshold(percentage: float, text: bytes) -> None:
    """The digits of 2**56 times what is not kept, without zeros at the end."""
    assert threshold_text(threshold_of(percentage)) == text


@pytest.mark.parametrize("percentage", [0, -1, 1e-18, float("nan")])
def test_a_share_below_all_numbers_is_never_kept(percentage: float) -> None:
    """No randomness reaches the threshold."""
    assert threshold_of(percentage) == NEVER


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b"ot=th:8"),
        (b"ot=th:4", b"ot=th:8"),
        (b"ot=th:8", b"ot=th:8"),
        (b"ot=th:c", b"ot=th:c"),
        (b"ot=th:8;rv:" + RV + b";x:1", b"ot=rv:" + RV + b";th:8;x:1"),
        (b"v=1,ot=rv:" + RV + b",w=2", b"ot=rv:" + RV + b";th:8,v=1,w=2"),
        (b" v=1 ,, w= 2\t", b"ot=th:8,v=1,w= 2"),
        (b"ot=rv:1", None),
        (b"BAD", None),
    ],
)
def test_a_kept_span_gets_the_threshold(before: bytes, after: bytes | None) -> None:
    """Unless its own is stricter; ot comes first; the unparseable is told by None."""
    assert with_threshold(before, HALF) == after


@pytest.mark.parametrize(
    "state",
    [
        b",".join(b"k=v" for _ in range(32)),
        b"k=" + b"v" * 257,
        b",".join([b"k=" + b"v" * 250] * 5),
        b"ot=",
        b"ot=th:8;",
        b"ot=th:8;;x:1",
        b"ot=th:",
        b"ot=th:123456789abcdef",
        b"ot=th:xyz",
        b"ot=rv:0123456789abcg",
        b"ot=X:1",
        b"ot=x:" + b"1" * 256,
        b"k=v,=",
        "k=é".encode(),
    ],
)
def test_what_breaks_a_rule_is_unparseable(state: bytes) -> None:
    """A bad member or item spoils the whole tracestate."""
    assert parse(state) is None


def test_the_numbers_of_a_tracestate() -> None:
    """Digits may be of either case; a short th is filled up at its end."""
    found = parse(b"ot=rv:FFFFFFFFFFFFFF;th:c,k=v,k=w")
    assert found is not None
    assert found.randomness == NEVER - 1
    assert found.threshold == 3 << 54
    nothing = parse(b"")
    assert nothing is not None
    assert (nothing.randomness, nothing.threshold) == (None, None)


def test_randomness_is_in_the_trace_id() -> None:
    """Its last seven bytes, the first of them the most significant."""
    assert randomness_of(bytes(range(1, 17))) == 0x0A0B0C0D0E0F10


def test_only_tracestates_change_in_encoded_spans() -> None:
    """Spans get, keep, replace and lose a tracestate; nothing else is different."""
    states = ["", "ot=th:c", "k=v", "old=1"]
    spans = [otlp.span(b"t" * 16, b"s" * 8, name=f"n{n}") for n in range(4)]
    for span, state in zip(spans, states, strict=True):
        span.trace_state = state
    wanted = {b"": b"new=1", b"ot=th:c": None, b"k=v": b"k=w", b"old=1": b""}
    piece = _piece(spans)
    changed = with_trace_states(piece.spans, wanted.__getitem__)
    for span, state in zip(spans, ["new=1", "ot=th:c", "k=w", ""], strict=True):
        span.trace_state = state
    assert _read(changed) == spans
    assert trace_states(changed, b"k=w") == [b"k=w"]


def test_a_tracestate_that_comes_twice_comes_once_afterwards() -> None:
    """The last one counts, and the new one takes the place of both."""
    once = otlp.span(b"t" * 16, b"s" * 8)
    twice = once.SerializeToString() + b"\x1a\x03a=1" + b"\x1a\x03a=2"
    spans = b"\x12" + bytes([len(twice)]) + twice
    seen: list[bytes] = []

    def change(state: bytes) -> bytes:
        """Note what is read."""
        seen.append(state)
        return b"a=3"

    changed = with_trace_states(spans, change)
    assert seen == [b"a=2"]
    assert changed.count(b"a=") == 1
    once.trace_state = "a=3"
    assert _read(changed) == [once]


def _piece(spans: list[Span]) -> Piece:
    return Piece(b"", b"", ScopeSpans(spans=spans).SerializeToString())


def _read(spans: bytes) -> list[Span]:
    return list(ScopeSpans.FromString(spans).spans)
