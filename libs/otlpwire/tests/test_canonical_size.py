"""Sizes as the Collector's encoder gives them, against protobuf's own."""

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import (
    ResourceSpans,
    ScopeSpans,
    Span,
    Status,
)

import tailring_otlpwire
from tailring_testkit import otlp
from tailring_testkit.pure import load_pure

TRACE: Final = bytes(15) + b"\x01"
FORMS: Final = [tailring_otlpwire, load_pure("tailring_otlpwire")]
U32: Final = st.integers(0, 2**32 - 1)
U64: Final = st.sampled_from([0, 1, 2**63, 2**64 - 1])
TEXT: Final = st.sampled_from(["", "a", "é" * 70])

SIMPLE = st.one_of(
    st.just(AnyValue()),
    TEXT.map(lambda text: AnyValue(string_value=text)),
    st.booleans().map(lambda flag: AnyValue(bool_value=flag)),
    st.sampled_from([0, 1, -1, 300, 2**63 - 1, -(2**63)]).map(
        lambda number: AnyValue(int_value=number)
    ),
    st.sampled_from([0.0, 1.5]).map(lambda number: AnyValue(double_value=number)),
    st.sampled_from([b"", b"\xff" * 200]).map(lambda part: AnyValue(bytes_value=part)),
)
VALUES = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(
            lambda parts: AnyValue(array_value=ArrayValue(values=parts))
        ),
        st.lists(st.builds(KeyValue, key=TEXT, value=inner), max_size=3).map(
            lambda parts: AnyValue(kvlist_value=KeyValueList(values=parts))
        ),
    ),
    max_leaves=6,
)
ATTRIBUTES = st.lists(st.builds(KeyValue, key=TEXT, value=VALUES), max_size=3)
IDS = st.sampled_from([b"", bytes(8), b"\x01" * 8])
SPANS = st.builds(
    Span,
    trace_id=st.just(TRACE),
    span_id=IDS,
    parent_span_id=IDS,
    trace_state=TEXT,
    name=TEXT,
    kind=st.sampled_from([0, 1, 5]),
    start_time_unix_nano=U64,
    end_time_unix_nano=U64,
    attributes=ATTRIBUTES,
    dropped_attributes_count=U32,
    dropped_events_count=U32,
    dropped_links_count=U32,
    flags=U32,
    status=st.one_of(
        st.none(),
        st.builds(Status, message=TEXT, code=st.sampled_from([0, 1, 2])),
    ),
    events=st.lists(
        st.builds(
            Span.Event,
            time_unix_nano=U64,
            name=TEXT,
            attributes=ATTRIBUTES,
            dropped_attributes_count=U32,
        ),
        max_size=2,
    ),
    links=st.lists(
        st.builds(
            Span.Link,
            trace_id=st.sampled_from([b"", bytes(16), TRACE]),
            span_id=IDS,
            trace_state=TEXT,
            attributes=ATTRIBUTES,
            dropped_attributes_count=U32,
            flags=U32,
        ),
        max_size=2,
    ),
)
PARTS = st.lists(
    st.builds(
        ResourceSpans,
        resource=st.one_of(
            st.none(),
            st.builds(Resource, attributes=ATTRIBUTES, dropped_attributes_count=U32),
        ),
        scope_spans=st.lists(
            st.builds(
                ScopeSpans,
                scope=st.one_of(
                    st.none(),
                    st.builds(
                        InstrumentationScope,
                        name=TEXT,
                        version=TEXT,
                        attributes=ATTRIBUTES,
                        dropped_attributes_count=U32,
                    ),
                ),
                spans=st.lists(SPANS, min_size=1, max_size=2),
                schema_url=TEXT,
            ),
            min_size=1,
            max_size=2,
        ),
        schema_url=TEXT,
    ),
    min_size=1,
    max_size=3,
)


def framed(size: int) -> int:
    return 1 + max(1, -(-size.bit_length() // 7)) + size


def lacking(part: bytes, size: int) -> int:
    """What an id takes more in the Collector than in protobuf."""
    if not part:
        return 2
    return 2 - framed(size) if not any(part) else 0


def values_of(value: AnyValue) -> int:
    """The size of a value, in which every entry of a map has a value."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        inner = sum(framed(values_of(one)) for one in value.array_value.values)
        return framed(inner)
    if kind == "kvlist_value":
        return framed(attributes_of(value.kvlist_value.values))
    return value.ByteSize()


def attributes_of(attributes: Any) -> int:
    size = 0
    for one in attributes:
        key = len(one.key.encode())
        size += framed((framed(key) if key else 0) + framed(values_of(one.value)))
    return size


def expected(part: ResourceSpans) -> int:
    """The rules of the Collector's encoder, put on top of protobuf's sizes."""
    resource = Resource.FromString(part.resource.SerializeToString())
    attributes = attributes_of(resource.attributes)
    del resource.attributes[:]
    size = framed(attributes + resource.ByteSize())
    for scoped in part.scope_spans:
        scope = InstrumentationScope.FromString(scoped.scope.SerializeToString())
        attributes = attributes_of(scope.attributes)
        del scope.attributes[:]
        inner = framed(attributes + scope.ByteSize())
        inner += sum(framed(span_size(span)) for span in scoped.spans)
        size += framed(inner)
    return size


def span_size(given_span: Span) -> int:
    span = Span.FromString(given_span.SerializeToString())
    size = attributes_of(span.attributes)
    for event in span.events:
        attributes = attributes_of(event.attributes)
        del event.attributes[:]
        size += framed(attributes + event.ByteSize())
    for link in span.links:
        attributes = attributes_of(link.attributes)
        del link.attributes[:]
        more = lacking(link.trace_id, 16) + lacking(link.span_id, 8)
        size += framed(attributes + link.ByteSize() + more)
    size += lacking(span.span_id, 8) + lacking(span.parent_span_id, 8)
    if not span.HasField("status"):
        size += 2
    del span.attributes[:], span.events[:], span.links[:]
    return size + span.ByteSize()


@given(PARTS)
def test_sizes_are_protobufs_with_the_collectors_rules(
    parts: list[ResourceSpans],
) -> None:
    """Of any spans below any resources, in both forms of the code."""
    payload = otlp.request(*parts)
    bare = [expected(part) for part in parts]
    for form in FORMS:
        (found,) = form.group(payload, form.HeaderCache(16), measured=True)
        assert found.resource_spans_bytes == sum(bare)
        assert found.data_bytes == sum(map(framed, bare))


@pytest.mark.parametrize(
    ("span", "resource", "sizes"),
    [
        (otlp.span(TRACE, bytes(7) + b"\x01", name=""), None, (40, 42)),
        (
            otlp.span(
                TRACE,
                bytes(7) + b"\x01",
                parent=bytes(7) + b"\x02",
                name="GET /",
                kind=2,
                start_ns=1,
                end_ns=2,
                status=2,
                attributes={"http.status_code": 200},
            ),
            {"service.name": "a"},
            (123, 125),
        ),
    ],
)
def test_sizes_that_the_collector_gave(
    span: Span, resource: otlp.Attributes | None, sizes: tuple[int, int]
) -> None:
    """Two spans that were measured there."""
    payload = otlp.request(span, resource=resource)
    (found,) = tailring_otlpwire.group(
        payload, tailring_otlpwire.HeaderCache(1), measured=True
    )
    assert (found.resource_spans_bytes, found.data_bytes) == sizes


def field(tag: int, body: bytes) -> bytes:
    """A message with its frame; at most 16,383 bytes."""
    return bytes([tag, len(body) & 0x7F | 0x80, len(body) >> 7]) + body


def test_the_last_of_several_counts_and_messages_merge() -> None:
    """A name that comes again replaces the first, a second Status adds to the first,
    sizes may be written too long, and unknown fields are gone."""
    name = Span(name="a" * 100).SerializeToString()
    status = Span(status=Status(message="no")).SerializeToString()
    code = Span(status=Status(code=Status.STATUS_CODE_ERROR)).SerializeToString()
    odd = Span(trace_id=TRACE, name="b").SerializeToString()
    written = name + status + odd + code + b"\xaa\x06\x03abc"
    payload = field(0x0A, field(0x12, field(0x12, written)))
    merged = Span.FromString(written)
    merged.DiscardUnknownFields()
    part = ResourceSpans(scope_spans=[ScopeSpans(spans=[merged])])
    for form in FORMS:
        (found,) = form.group(payload, form.HeaderCache(1), measured=True)
        assert found.resource_spans_bytes == expected(part)


def test_sizes_are_measured_only_when_asked_for() -> None:
    """Else they are 0."""
    payload = otlp.request(otlp.span(TRACE, bytes(8)))
    (found,) = tailring_otlpwire.group(payload, tailring_otlpwire.HeaderCache(1))
    assert (found.resource_spans_bytes, found.data_bytes) == (0, 0)
