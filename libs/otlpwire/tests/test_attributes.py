"""Attributes and trace context of encoded spans, against protobuf's own reading."""

from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

import tailring_otlpwire
from tailring_otlpwire import (
    Attribute,
    SpanAttributes,
    WireError,
    any_sampled_flag,
    resource_attribute,
    trace_states,
)
from tailring_testkit.pure import load_pure

KEYS: Final = ["", "k", "kk", "key", "é"]
PURE: Final = load_pure("tailring_otlpwire")
FORMS: Final = [tailring_otlpwire, PURE]

Read = tuple[bytes, int, bool]

VALUES = st.one_of(
    st.just(AnyValue()),
    st.sampled_from([*KEYS, "x" * 200]).map(lambda t: AnyValue(string_value=t)),
    st.booleans().map(lambda b: AnyValue(bool_value=b)),
    st.integers(-(2**63), 2**63 - 1).map(lambda n: AnyValue(int_value=n)),
    st.floats().map(lambda n: AnyValue(double_value=n)),
    st.binary(max_size=3).map(lambda b: AnyValue(bytes_value=b)),
)
ENTRIES = st.lists(
    st.builds(KeyValue, key=st.sampled_from(KEYS), value=VALUES), max_size=5
)
SPANS = st.lists(
    st.builds(
        Span,
        name=st.sampled_from(["", "key"]),
        trace_state=st.sampled_from(["", "k=v", "key=1,a=2"]),
        flags=st.integers(0, 2**32 - 1),
        attributes=ENTRIES,
    ),
    max_size=4,
)


def encoded(value: Any) -> bytes:
    return bytes(value.SerializeToString())


def spans_of(*spans: Span) -> bytes:
    """The spans as a piece holds them."""
    return encoded(ScopeSpans(spans=spans))


def header_of(*entries: KeyValue) -> bytes:
    """The entries as a resource header."""
    return encoded(ResourceSpans(resource=Resource(attributes=entries)))


def expected(entries: Any, key: str) -> Read | None:
    """The first value of the key, as each of the types."""
    for entry in entries:
        if entry.key == key:
            value = entry.value
            text = value.string_value.encode()
            return text, value.int_value, value.bool_value
    return None


def read(found: Attribute) -> Read:
    return found.text(), found.number(), found.truth()


def found_in_spans(wire: Any, spans: bytes, key: str) -> list[Read]:
    cursor = wire.SpanAttributes(spans, key.encode())
    found = []
    while cursor.next():
        found.append(read(cursor))
    return found


@pytest.mark.parametrize("wire", FORMS)
@settings(deadline=None)
@given(SPANS, st.sampled_from(KEYS))
def test_each_span_gives_its_first_value(
    wire: Any, spans: list[Span], key: str
) -> None:
    """A cursor gives the first value of the key of each span, in their order."""
    wanted = [expected(span.attributes, key) for span in spans]
    found = found_in_spans(wire, spans_of(*spans), key)
    assert found == [each for each in wanted if each is not None]


@pytest.mark.parametrize("wire", FORMS)
@settings(deadline=None)
@given(ENTRIES, st.sampled_from(KEYS))
def test_a_resource_gives_its_first_value(
    wire: Any, entries: list[KeyValue], key: str
) -> None:
    """A header gives the first value of the key of its resource, or none."""
    found = wire.resource_attribute(header_of(*entries), key.encode())
    assert (None if found is None else read(found)) == expected(entries, key)


@pytest.mark.parametrize("wire", FORMS)
@settings(deadline=None)
@given(SPANS)
def test_flags_and_tracestates_are_those_of_the_spans(
    wire: Any, spans: list[Span]
) -> None:
    """Any set lowest bit is seen, and the states that hold the wanted bytes."""
    encoded_spans = spans_of(*spans)
    assert wire.any_sampled_flag(encoded_spans) is any(s.flags & 1 for s in spans)
    wanted = [s.trace_state.encode() for s in spans if "key" in s.trace_state]
    assert wire.trace_states(encoded_spans, b"key") == wanted


def test_a_value_before_its_key_counts() -> None:
    """The fields of an attribute may come in any order."""
    entry = b"\x12\x03\x0a\x01v" + b"\x0a\x01k"
    span = b"\x4a" + bytes([len(entry)]) + entry
    found = SpanAttributes(b"\x12" + bytes([len(span)]) + span, b"k")
    assert found.next()
    assert found.text() == b"v"


def test_the_last_value_of_an_attribute_counts() -> None:
    """Of several values in one attribute, and in one value, the last one counts."""
    entry = b"\x0a\x01k" + b"\x12\x03\x0a\x01v" + b"\x12\x04\x10\x01\x18\x05"
    resource = b"\x0a" + bytes([len(entry)]) + entry
    found = resource_attribute(b"\x0a" + bytes([len(resource)]) + resource, b"k")
    assert found is not None
    assert read(found) == (b"", 5, False)


def test_a_resource_in_two_messages_is_one() -> None:
    """The first entry of the key wins over all messages of the resource."""
    one = KeyValue(key="k", value=AnyValue(string_value="1"))
    two = KeyValue(key="k", value=AnyValue(string_value="2"))
    found = resource_attribute(header_of() + header_of(one) + header_of(two), b"k")
    assert found is not None
    assert found.text() == b"1"


def test_the_key_elsewhere_in_a_span_is_no_attribute() -> None:
    """The bytes of the key in names, values and other keys are passed over."""
    value = AnyValue(string_value="key")
    other = Span(name="key", attributes=[KeyValue(key="akey", value=value)])
    entry = KeyValue(key="key", value=AnyValue(int_value=7))
    other.events.add(name="e", attributes=[entry])
    last = Span(attributes=[*other.attributes, entry])
    spans = spans_of(other, last)
    for wire in FORMS:
        assert found_in_spans(wire, spans, "key") == [(b"", 7, False)]


def test_malformed_attributes_raise() -> None:
    """An attribute that is cut off is a WireError, not a wrong answer."""
    span = b"\x4a\x05" + b"\x0a\x01k" + b"\x12\x09"
    found = SpanAttributes(b"\x12" + bytes([len(span)]) + span, b"k")
    with pytest.raises(WireError):
        found.next()


@settings(deadline=None)
@given(st.binary(max_size=40), st.sampled_from([b"", b"k", b"\x0a"]))
def test_any_bytes_are_safe(buf: bytes, key: bytes) -> None:
    """Both forms give the same answer or the same refusal to any bytes."""
    outcomes = []
    for wire in (tailring_otlpwire, PURE):
        outcome: list[object] = []
        try:
            outcome += found_in_spans(wire, buf, key.decode())
            found = wire.resource_attribute(buf, key)
            outcome.append(None if found is None else read(found))
            outcome += [wire.any_sampled_flag(buf), wire.trace_states(buf, key)]
        except wire.WireError as error:
            outcome.append(str(error))
        outcomes.append(outcome)
    assert outcomes[0] == outcomes[1]


def test_trace_states_are_those_that_hold_the_part() -> None:
    """States without the wanted bytes are left out."""
    spans = spans_of(Span(trace_state="a=1"), Span(trace_state="k=1"), Span())
    assert trace_states(spans, b"k") == [b"k=1"]


@pytest.mark.parametrize(("flags", "seen"), [(0x301, True), (0x100, False), (1, True)])
def test_the_lowest_bit_is_the_flag(flags: int, seen: bool) -> None:
    """Other bits of the flags do not count."""
    assert any_sampled_flag(spans_of(Span(flags=flags))) is seen
