"""Builders and readers of encoded requests."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tailring_testkit import otlp, otlp_json, requests

_TRACE, _SPAN = b"t" * 16, b"s" * 8


def test_unset_fields_stay_off_the_wire() -> None:
    """A span without times, status and attributes encodes only what it was given."""
    built = otlp.span(_TRACE, _SPAN, name="")
    assert built.ByteSize() == (2 + 16) + (2 + 8)


def test_request_groups_neighbours() -> None:
    """Spans side by side share a resource; a ready part stands for itself."""
    other = otlp.resource_spans([otlp.span(_TRACE, b"2" * 8)], resource={"a": "b"})
    one, three = otlp.span(_TRACE, b"1" * 8), otlp.span(_TRACE, b"3" * 8)
    payload = otlp.request(one, other, three, resource={"c": 1}, scope="lib")
    records = otlp.spans_of(payload)
    assert [Span.FromString(record.span).span_id[:1] for record in records] == [
        b"1",
        b"2",
        b"3",
    ]
    assert records[0].resource == records[2].resource != records[1].resource
    assert records[0].scope == records[2].scope != records[1].scope


def test_records_see_every_level() -> None:
    """Two requests that differ in a resource's schema URL have different records."""
    plain = otlp.resource_spans([otlp.span(_TRACE, _SPAN)])
    with_url = otlp.resource_spans([otlp.span(_TRACE, _SPAN)])
    with_url.schema_url = "https://schema.test/1"
    assert otlp.spans_of(otlp.request(plain)) != otlp.spans_of(otlp.request(with_url))


def test_realistic_spans_have_the_size_of_the_budgets() -> None:
    """A thousand spans more cost 255 to 262 bytes each."""
    small, large = (otlp.realistic_request(count, seed=7) for count in (8, 1008))
    assert 255 < (len(large) - len(small)) / 1000 < 262


def test_realistic_requests_repeat() -> None:
    """The same seed gives the same bytes, another seed other traces."""
    first, again = (otlp.realistic_request(16, seed=1) for _ in range(2))
    assert first == again
    other = otlp.realistic_request(16, seed=2)
    assert not otlp.trace_ids_of(first) & otlp.trace_ids_of(other)


def test_scattered_requests_hold_one_span_of_each_trace() -> None:
    """Eight requests of ten traces hold ten spans each, eight a trace in all."""
    payloads = otlp.scattered_requests(10, seed=1)
    assert [len(otlp.spans_of(payload)) for payload in payloads] == [10] * 8
    traces = Counter(r.trace_id for r in otlp.spans_of(b"".join(payloads)))
    assert list(traces.values()) == [8] * 10


@given(st.data())
def test_respelled_requests_mean_the_same(data: st.DataObject) -> None:
    """The protobuf library reads every spelling of a request as that request."""
    payload = data.draw(requests.requests())
    respelled = data.draw(requests.spellings(payload))
    assert otlp.spans_of(respelled) == otlp.spans_of(payload)


@given(requests.requests())
def test_json_round_trip(payload: bytes) -> None:
    """A request that became OTLP JSON and came back is the same JSON again."""
    text = otlp_json.format_request(payload)  # in which every NaN is the same one
    assert otlp_json.format_request(otlp_json.parse_request(text)) == text


def test_json_ids_are_hex() -> None:
    """Ids in OTLP JSON are hexadecimal, enums numbers."""
    span = otlp.span(b"\xab" * 16, b"\xcd" * 8, status=2)
    text = otlp_json.format_request(otlp.request(span))
    assert f'"traceId": "{"ab" * 16}"' in text
    assert '"code": 2' in text
