"""The load of the benchmarks is what the page says of it."""

from __future__ import annotations

from itertools import islice

import pytest
from bench.stream import SPANS_PER_TRACE, Stream
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tailring_testkit import otlp


@pytest.mark.parametrize("size", [10, 100, 1000])
def test_gathered_requests_have_the_size_that_was_asked(size: int) -> None:
    """A request has exactly so many spans, and the round says how many traces."""
    (round_,) = islice(Stream(size, scattered=False, seed=1).rounds(), 1)
    (payload,) = round_.payloads
    assert len(otlp.spans_of(payload)) == round_.spans == size
    assert len(otlp.trace_ids_of(payload)) == round_.traces


@pytest.mark.parametrize("size", [1, 50])
def test_scattered_traces_have_a_span_in_each_request(size: int) -> None:
    """Eight requests hold the same traces, one span of each."""
    (round_,) = islice(Stream(size, scattered=True, seed=1).rounds(), 1)
    ids = [otlp.trace_ids_of(payload) for payload in round_.payloads]
    assert len(ids) == SPANS_PER_TRACE
    assert all(found == ids[0] for found in ids)
    assert len(ids[0]) == size


def test_no_trace_id_comes_twice() -> None:
    """Rounds have fresh trace ids even when their templates repeat."""
    rounds = list(islice(Stream(100, scattered=False, seed=1).rounds(), 60))
    ids = [it for r in rounds for p in r.payloads for it in otlp.trace_ids_of(p)]
    assert len(ids) == len(set(ids)) == sum(round_.traces for round_ in rounds)


def test_spans_have_the_size_that_the_page_names() -> None:
    """About 258 bytes a span at 1,000 spans a request."""
    (round_,) = islice(Stream(1000, scattered=False, seed=1).rounds(), 1)
    assert 250 <= len(round_.payloads[0]) / round_.spans <= 266


@pytest.mark.parametrize("size", [10, 1000])
def test_one_trace_in_fifty_has_an_error(size: int) -> None:
    """The share of traces with an error is 2 %, whatever the size of the requests."""
    rounds = list(islice(Stream(size, scattered=False, seed=1).rounds(), 200))
    spans = [
        Span.FromString(record.span)
        for round_ in rounds
        for payload in round_.payloads
        for record in otlp.spans_of(payload)
    ]
    failed = {span.trace_id for span in spans if span.status.code == 2}
    share = len(failed) / len({span.trace_id for span in spans})
    assert 0.015 < share < 0.025
