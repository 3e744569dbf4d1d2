"""OTLP JSON is read as the same request that protobuf encodes."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import example, given, settings
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from tailring_otlpio import request_from_json
from tailring_otlpio.errors import MalformedBody
from tailring_testkit import otlp, otlp_json, requests

TRACE_ID = "5B8EFFF798038103D269B633813FC60C"
SPAN_ID = "eee19b7ec3c1b174"
# A NaN with bits of its own, which no JSON can carry.
(_ODD_NAN,) = struct.unpack("<d", b"\x01\x00\x00\x00\x00\x00\xf8\xff")
_NAN = otlp.request(otlp.span(b"t" * 16, b"s" * 8, attributes={"x": _ODD_NAN}))


def body(span: dict[str, Any]) -> bytes:
    """The JSON of a request with one span."""
    scope = {"scope": {"name": "lib"}, "spans": [span]}
    return json.dumps({"resourceSpans": [{"scopeSpans": [scope]}]}).encode()


def one_span(payload: bytes) -> Any:
    """The only span of an encoded request."""
    request = ExportTraceServiceRequest.FromString(payload)
    return request.resource_spans[0].scope_spans[0].spans[0]


@given(requests.requests())
@example(_NAN)
@settings(deadline=None)  # the machine that tests run on may be busy
def test_json_and_protobuf_are_the_same_request(payload: bytes) -> None:
    """Any request that is written as OTLP JSON is read back equal, links included."""
    text = otlp_json.format_request(payload)
    read = request_from_json(text.encode())
    # Compared as JSON, which does not know one NaN from another.
    assert otlp_json.format_request(read) == text


@pytest.mark.parametrize("trace_id", [TRACE_ID, TRACE_ID.lower()])
def test_ids_are_hex_in_either_case(trace_id: str) -> None:
    """Ids of spans and links are hex, upper or lower case."""
    link = {"traceId": trace_id, "spanId": SPAN_ID}
    ids = {"traceId": trace_id, "spanId": SPAN_ID, "parentSpanId": SPAN_ID.upper()}
    span = one_span(request_from_json(body({**ids, "links": [link]})))
    assert span.trace_id == bytes.fromhex(TRACE_ID)
    assert span.span_id == span.parent_span_id == bytes.fromhex(SPAN_ID)
    assert span.links[0].trace_id == bytes.fromhex(TRACE_ID)
    assert span.links[0].span_id == bytes.fromhex(SPAN_ID)


def test_numbers_may_be_text_or_numbers() -> None:
    """64-bit numbers are read from both forms, enums from numbers."""
    times = {"startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": 7}
    span = one_span(request_from_json(body({**times, "kind": 2})))
    assert (span.start_time_unix_nano, span.end_time_unix_nano, span.kind) == (
        1544712660000000000,
        7,
        2,
    )


def test_unknown_fields_are_ignored() -> None:
    """A field that this version does not know is skipped."""
    assert (
        one_span(request_from_json(body({"name": "n", "later": {"a": [1]}}))).name
        == "n"
    )


@pytest.mark.parametrize(
    "text",
    [
        b'{"resourceSpans": null}',
        b'{"resourceSpans": []}',
        b"{}",
        b"null",
        b"\xef\xbb\xbf{}",
        b'{"resourceSpans": [null]}',
        b'{"resourceSpans": [{"scopeSpans": null}]}',
    ],
)
def test_requests_without_spans(text: bytes) -> None:
    """Null and empty lists are requests without spans."""
    request = ExportTraceServiceRequest.FromString(request_from_json(text))
    assert not any(
        scope.spans for r in request.resource_spans for scope in r.scope_spans
    )


def attribute(value: str) -> bytes:
    """A span with an attribute whose value is this JSON."""
    text = body({"attributes": [{"key": "k", "value": 0}]})
    return text.replace(b'"value": 0', b'"value": ' + value.encode())


@pytest.mark.parametrize(
    ("value", "kind", "read"),
    [
        ('{"stringValue": null}', "string_value", ""),
        ('{"string_value": "a"}', "string_value", "a"),
        ('{"stringValue": "a\\ud800\\ud83d\\ude42"}', "string_value", "a\ufffd🙂"),
        ('{"boolValue": false}', "bool_value", False),
        ('{"intValue": "-9223372036854775808"}', "int_value", -(2**63)),
        ('{"intValue": 9007199254740993}', "int_value", 9007199254740993),
        ('{"intValue": 2.0}', "int_value", 2),
        ('{"doubleValue": "Infinity"}', "double_value", float("inf")),
        ('{"doubleValue": "-inf"}', "double_value", float("-inf")),
        ('{"doubleValue": "2.5e3"}', "double_value", 2500.0),
        ('{"doubleValue": 7}', "double_value", 7.0),
        ('{"bytesValue": "-_8A"}', "bytes_value", b"\xfb\xff\x00"),
        ('{"bytesValue": "+/8A"}', "bytes_value", b"\xfb\xff\x00"),
        ('{"bytesValue": "AQI"}', "bytes_value", b"\x01\x02"),
        ('{"bytesValue": "AQI="}', "bytes_value", b"\x01\x02"),
        ('{"stringValue": "a", "intValue": 7}', "int_value", 7),
    ],
)
def test_values(value: str, kind: str, read: object) -> None:
    """Each kind of value may be written in every form that protobuf's JSON has."""
    any_value = one_span(request_from_json(attribute(value))).attributes[0].value
    assert any_value.WhichOneof("value") == kind
    assert getattr(any_value, kind) == read


@pytest.mark.parametrize(
    "value",
    [
        '"text"',
        "[]",
        '{"stringValue": 7}',
        '{"boolValue": "true"}',
        '{"boolValue": 1}',
        '{"intValue": 1.5}',
        '{"intValue": true}',
        '{"intValue": ""}',
        '{"intValue": " 1"}',
        '{"intValue": "1_0"}',
        '{"intValue": "9223372036854775808"}',
        f'{{"intValue": "{"9" * 5000}"}}',
        '{"doubleValue": NaN}',
        '{"doubleValue": 1e999}',
        '{"doubleValue": "1e999"}',
        '{"doubleValue": " 1"}',
        '{"doubleValue": true}',
        f'{{"doubleValue": {"9" * 400}}}',
        '{"bytesValue": "!!!!"}',
        '{"bytesValue": "A"}',
        '{"bytesValue": "é"}',
        '{"bytesValue": [1]}',
        '{"arrayValue": []}',
    ],
)
def test_malformed_values(value: str) -> None:
    """A value of another type than its name says is malformed, never left out."""
    with pytest.raises(MalformedBody):
        request_from_json(attribute(value))


def test_enums_are_names_or_numbers() -> None:
    """Names that the enum has, and any number, are taken."""
    status = {"code": "STATUS_CODE_ERROR"}
    span = one_span(
        request_from_json(body({"kind": "SPAN_KIND_SERVER", "status": status}))
    )
    assert (span.kind, span.status.code) == (2, 2)
    assert one_span(request_from_json(body({"kind": 77}))).kind == 77


def test_names_that_come_twice() -> None:
    """Lists and messages grow together, of other values the last one counts."""
    twice = (
        b'{"name": "a", "attributes": [{"key": "a"}], "status": {"code": 2},'
        b' "attributes": [{"key": "b"}], "name": "b", "status": {"message": "m"}}'
    )
    span = one_span(request_from_json(body({}).replace(b"[{}]", b"[" + twice + b"]")))
    assert span.name == "b"
    assert [one.key for one in span.attributes] == ["a", "b"]
    assert (span.status.code, span.status.message) == (2, "m")


def test_bytes_that_are_not_utf8() -> None:
    """What is not UTF-8 becomes the replacement character."""
    text = body({"name": "cafe"}).replace(b"cafe", b"caf\xe9")
    assert one_span(request_from_json(text)).name == "caf\ufffd"


def test_what_is_read_is_not_deeper_than_protobuf_reads() -> None:
    """The deepest values that are taken can be decoded again; deeper ones are not."""
    taken = 0
    for levels in range(40, 60):
        nested = '{"arrayValue": {"values": [' * levels + "]}}" * levels
        try:
            one_span(request_from_json(attribute(nested)))
        except MalformedBody:
            break
        taken = levels
    assert 40 < taken < 59


@pytest.mark.parametrize(
    "span",
    [
        {"traceId": "5B8EFFF7980381"[:-1]},
        {"traceId": "no hex"},
        {"traceId": 5},
        {"traceId": " " + TRACE_ID},
        {"spanId": ["a"]},
        {"links": [{"spanId": "xy"}]},
        {"name": 7},
        {"startTimeUnixNano": "soon"},
        {"startTimeUnixNano": -1},
        {"kind": "SERVER"},
        {"kind": 2.5},
        {"status": "ERROR"},
        {"attributes": {"key": "value"}},
        {"traceId": TRACE_ID + "00"},
        {"traceId": "W4718kmYOPEJ6ZpaM4E/xgw="},
    ],
)
def test_malformed_spans(span: dict[str, Any]) -> None:
    """Ids that are not hex and values of a wrong type are malformed."""
    with pytest.raises(MalformedBody):
        request_from_json(body(span))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'"x"',
        b"{} {}",
        b'{"resourceSpans": 7}',
        b'{"resourceSpans": [7]}',
        b'{"resourceSpans": {"a": 1}}',
        b'{"a": ' * 50_000,
        b"\xff\xfe",
        b'{"resourceSpans"',
    ],
)
def test_malformed_texts(text: bytes) -> None:
    """Whatever is no JSON object of the right shape is malformed, however deep."""
    with pytest.raises(MalformedBody):
        request_from_json(text)
