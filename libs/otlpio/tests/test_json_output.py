"""Encoded requests as OTLP JSON."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tailring_otlpio import json_of, request_from_json, request_to_json
from tailring_pipeline import KINDS, Rejected, Signal
from tailring_testkit import signals
from tailring_testkit.signal_requests import requests_of

# A whole number in JSON has no minus zero, so its reader does not know it.
MINUS_ZERO = re.compile(rb"(?<=[:\[,])-0(?=[,\]}])")

ANY_REQUEST = st.sampled_from(list(Signal)).flatmap(
    lambda signal: requests_of(KINDS[signal]).map(lambda payload: (signal, payload))
)


def text_of(span: Span) -> str:
    """The JSON of one span."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.append(span)
    text = request_to_json(request.SerializeToString(), Signal.TRACES).decode()
    before = '{"resourceSpans":[{"resource":{},"scopeSpans":[{"scope":{},"spans":['
    assert text.startswith(before)
    assert text.endswith("]}]}]}")
    return text.removeprefix(before).removesuffix("]}]}]}")


def value_text(value: AnyValue) -> str:
    """The JSON of one attribute's value."""
    span = Span(attributes=[KeyValue(key="k", value=value)])
    text = text_of(span).removeprefix('{"attributes":[{"key":"k","value":')
    return text.removesuffix('}],"status":{}}')


@given(ANY_REQUEST)
def test_what_is_written_reads_back(case: tuple[Signal, bytes]) -> None:
    """The JSON of a request, written again after it was read, is the same text."""
    signal, payload = case
    text = request_to_json(payload, signal)
    again = request_to_json(request_from_json(text, signal), signal)
    assert MINUS_ZERO.sub(b"0", again) == MINUS_ZERO.sub(b"0", text)


def test_an_empty_span_has_a_status_only() -> None:
    """Zeros are left out, messages that cannot be absent are not."""
    assert text_of(Span(trace_id=bytes(16))) == '{"status":{}}'


def test_members_stand_in_the_order_of_the_proto_files() -> None:
    """Ids are hex, 64-bit numbers are text, enums are numbers."""
    span = Span(
        trace_id=b"\xab" * 16,
        span_id=b"\x01" * 8,
        name="n",
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=5,
        flags=256,
    )
    assert text_of(span) == (
        '{"traceId":"' + "ab" * 16 + '","spanId":"0101010101010101","flags":256,'
        '"name":"n","kind":3,"startTimeUnixNano":"5","status":{}}'
    )


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (0.1, "0.1"),
        (1e-5, "0.00001"),
        (1e-6, "0.000001"),
        (9.5e-7, "9.5e-07"),
        (1e16, "10000000000000000"),
        (123456789012345680000.0, "123456789012345680000"),
        (1e21, "1e+21"),
        (-1.5e300, "-1.5e+300"),
        (float("nan"), '"NaN"'),
        (float("-inf"), '"-Infinity"'),
    ],
)
def test_numbers_are_written_as_upstream_writes_them(number: float, text: str) -> None:
    """Numbers have an exponent only when they are very small or very large."""
    assert value_text(AnyValue(double_value=number)) == f'{{"doubleValue":{text}}}'


def test_only_what_must_be_escaped_is() -> None:
    """Control characters are escaped, other text is UTF-8 as it is."""
    value = AnyValue(string_value='a"\\\n\b\f\x01\x7f<é\u2028')
    text = 'a\\"\\\\\\n\\u0008\\u000c\\u0001\x7f<é\u2028'
    assert value_text(value) == f'{{"stringValue":"{text}"}}'


def test_values_that_are_set_are_written_although_zero() -> None:
    """What is chosen of a oneof is written, zero or empty."""
    assert value_text(AnyValue(int_value=0)) == '{"intValue":"0"}'
    assert value_text(AnyValue(bool_value=False)) == '{"boolValue":false}'
    assert value_text(AnyValue(bytes_value=b"\xff")) == '{"bytesValue":"/w=="}'
    assert value_text(AnyValue()) == "{}"


def test_garbage_is_rejected() -> None:
    """Bytes that are no request are rejected for a reason that splitting may help."""
    with pytest.raises(Rejected) as raised:
        request_to_json(b"\xff\xff", Signal.LOGS)
    assert raised.value.reason == "invalid_argument"


async def test_a_large_request_is_the_same_beside_the_loop() -> None:
    """A request that is converted in a thread becomes the same text."""
    payload = signals.batch_of(Signal.METRICS, range(500)).payload
    assert await json_of(payload, Signal.METRICS) == request_to_json(
        payload, Signal.METRICS
    )
