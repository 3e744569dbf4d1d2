"""The compiled and the pure form give the same answers, and what compiled objects cost.

`COMPILED` says which form the other tests of this package run on. Where nothing is
compiled the comparison is of the pure form with itself.
"""

import gc
import sys
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tailring_otlpwire
from tailring_otlpwire import (
    COMPILED,
    LOGS,
    METRICS,
    TRACES,
    HeaderCache,
    Piece,
    TraceSummary,
    group,
)
from tailring_testkit.otlp import scattered_requests
from tailring_testkit.pure import load_pure
from tailring_testkit.requests import requests, respelled_requests
from tailring_testkit.signal_requests import requests_of
from tailring_testkit.wire import with_unknown_fields

PURE: Final = load_pure("tailring_otlpwire")
PAYLOADS = st.one_of(
    respelled_requests(),
    requests().flatmap(with_unknown_fields),
    st.integers(0, 2).flatmap(requests_of),
    st.integers(0, 2).flatmap(requests_of),
    st.binary(max_size=40),
)


def slices_of(wire: Any, buf: bytes) -> list[object]:
    running = wire.TraceSummary()
    found: list[object] = []
    for each in wire.group(buf, wire.HeaderCache(10)):
        running.add(each)
        for known in (each, running):
            found += [known.span_count, known.byte_count, known.status_mask]
            found += [known.start_ns, known.end_ns, known.longest_ns, known.root_seen]
        for piece in each.pieces:
            found += [piece.resource, piece.scope, piece.spans, piece.span_count]
            found += wire.span_times(piece.spans)
    return found


def joined(wire: Any, buf: bytes) -> bytes:
    slices = wire.group(buf, wire.HeaderCache(10))
    return bytes(wire.join(piece for each in slices for piece in each.pieces))


def parts_of(wire: Any, buf: bytes) -> list[object]:
    parts = wire.split(buf, [2, 0, 1])
    return [(part.owner, part.payload, part.spans) for part in parts]


def split_by(rule: tuple[Any, ...], wire: Any, buf: bytes) -> list[object]:
    found = wire.split_by(buf, [2, 0, 1], wire.RoutingRule(*rule), seed=5)
    parts = [(part.owner, part.payload, part.items) for part in found.parts]
    return [parts, found.unroutable_items, found.unroutable]


NAMES: Final = ["service.name", "a", "log.body", "span.kind"]
RULES: Final[list[tuple[Any, ...]]] = [
    *((TRACES, "service"), (TRACES, "attributes", NAMES)),
    *((LOGS, key) for key in ("service", "traceID", "resource")),
    (LOGS, "attributes", NAMES),
    *((METRICS, key) for key in ("service", "resource", "metric", "streamID")),
    (METRICS, "attributes", NAMES),
]

QUESTIONS: Final[dict[str, Callable[[Any, bytes], object]]] = {
    "validate": lambda wire, buf: wire.validate(buf),
    "count_spans": lambda wire, buf: wire.count_spans(buf),
    "split": parts_of,
    "group": slices_of,
    "join": joined,
    "join_requests": lambda wire, buf: wire.join_requests([buf, buf]),
    "chunk": lambda wire, buf: wire.chunk(buf, 2),
    "span_times": lambda wire, buf: wire.span_times(buf),
    "validate logs": lambda wire, buf: wire.validate(buf, LOGS),
    "validate metrics": lambda wire, buf: wire.validate(buf, METRICS),
    "count points": lambda wire, buf: wire.count(buf, METRICS),
    "chunk points": lambda wire, buf: wire.chunk(buf, 2, METRICS),
    **{f"split by {rule[:2]}": partial(split_by, rule) for rule in RULES},
}


def answer(wire: Any, question: str, buf: bytes) -> object:
    try:
        return QUESTIONS[question](wire, buf)
    except wire.WireError as error:
        return (error.offset, error.reason)


@settings(max_examples=60, deadline=None)
@given(PAYLOADS, st.data())
def test_forms_agree(payload: bytes, data: st.DataObject) -> None:
    """Whole or cut off, a request gets the same answers and errors from both forms."""
    cut = payload[: data.draw(st.integers(0, len(payload)))]
    for question in QUESTIONS:
        for buf in (payload, cut):
            compiled = answer(tailring_otlpwire, question, buf)
            assert compiled == answer(PURE, question, buf)


def test_pure_form_is_pure() -> None:
    """The second copy of the package is not the compiled one."""
    assert not PURE.COMPILED
    assert PURE.group is not group


@pytest.mark.parametrize("kind", [Piece, TraceSummary])
def test_held_objects_are_small(kind: type) -> None:
    """Compiled, what is held for a trace is small and unseen by the collector."""
    held = Piece(b"r", b"s", b"") if kind is Piece else TraceSummary()
    if COMPILED:
        assert sys.getsizeof(held) <= (48 if kind is Piece else 104)
    assert gc.is_tracked(held) != COMPILED


def test_memory_held() -> None:
    """Scattered traces are held in less than 1.6 bytes per byte on the wire."""
    payloads = scattered_requests(traces=400, seed=1)
    cache = HeaderCache(100)
    held: dict[bytes, list[Piece]] = {}
    tracemalloc.start()
    try:
        for payload in payloads:
            for each in group(payload, cache):
                held.setdefault(each.trace_id, []).extend(each.pieces)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    ratio = used / sum(map(len, payloads))
    assert ratio < (1.6 if COMPILED else 2.1)
    assert sum(map(len, held.values())) == 3200
