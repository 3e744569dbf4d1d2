"""Conditions over one span: paths, comparison, arithmetic, errors."""

from __future__ import annotations

from contextlib import suppress

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
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tailring_ottl import ConditionError, EvalError, View, compile_condition


def attributes() -> list[KeyValue]:
    """An attribute of every type."""
    inner = KeyValueList(values=[KeyValue(key="k", value=AnyValue(int_value=1))])
    array = ArrayValue(values=[AnyValue(string_value="x"), AnyValue(int_value=2)])
    values = {
        "s": AnyValue(string_value="text"),
        "i": AnyValue(int_value=5),
        "d": AnyValue(double_value=1.5),
        "b": AnyValue(bool_value=True),
        "y": AnyValue(bytes_value=b"\x01\xff"),
        "e": AnyValue(bytes_value=b""),
        "m": AnyValue(kvlist_value=inner),
        "l": AnyValue(array_value=array),
    }
    return [KeyValue(key=key, value=value) for key, value in values.items()]


def view() -> View:
    """A server span with an error, an event and every kind of attribute."""
    event = Span.Event(name="boom", time_unix_nano=9, attributes=attributes())
    span = Span(
        trace_id=b"\x01" * 16,
        span_id=b"\x02" * 8,
        name="GET",
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=10,
        end_time_unix_nano=30,
        attributes=attributes(),
        events=[event],
        status=Status(code=Status.STATUS_CODE_ERROR, message="bad"),
    )
    resource = Resource(attributes=attributes())
    return View(resource, InstrumentationScope(name="lib"), span, event)


TRUE = [
    "true",
    "not false",
    'name == "GET"',
    'span.name == "GET" and kind == SPAN_KIND_SERVER',
    'kind.string == "Server"',
    'kind.deprecated_string == "SPAN_KIND_SERVER"',
    "status.code == STATUS_CODE_ERROR",
    'attributes["i"] == 5.0',
    'attributes["i"] > 4 and attributes["d"] <= 1.5',
    'attributes["s"] != 5',
    'attributes["none"] == nil',
    'attributes["e"] == nil',
    'attributes["y"] == 0x01FF',
    'attributes["m"]["k"] == 1',
    'attributes["m"]["none"] == nil',
    'attributes["l"][1] == 2',
    'attributes["l"] == ["x", 2]',
    'attributes["m"] == {"k": 1}',
    'attributes["m"] != {"k": 1.0}',
    'resource.attributes["s"] == "te\\x78t"',
    'instrumentation_scope.name == "lib" and scope.name == "lib"',
    "end_time_unix_nano - start_time_unix_nano == 20",
    "end_time - start_time != 20",
    "end_time > start_time",
    "(1 + 2) * 3 == 9",
    "-7 / 2 == -3",
    "9223372036854775807 + 1 < 0",
    "trace_id != 0x01010101010101010101010101010101",
    'trace_id.string == "01010101010101010101010101010101"',
    "IsRootSpan()",
    "(false or not (name == nil)) and true",
    'false or name == "GET" and true',
    'name == "other" and attributes["s"][0] == 1 or true',
]


@pytest.mark.parametrize("text", TRUE)
def test_condition_holds(text: str) -> None:
    """The condition is true of the span, and its negation is false."""
    assert compile_condition(text, "span")(view()) is True
    assert compile_condition(f"not ({text})", "span")(view()) is False


BAD = [
    ("name", "is no condition"),
    ("name = 1", "1:6"),
    ("nam == 1", "span.name"),
    ("SPAN_KIND_SERVE == 1", "SPAN_KIND_SERVER"),
    ("IsRotSpan()", "IsRootSpan"),
    ("IsRootSpan(1)", "Expected: 0 Received: 1"),
    ("spanevent.name == nil", "spanevent"),
    ('name["x"] == 1', "no keys"),
    ('name == "\\q"', "escape"),
    ("name == 0x123", "even number"),
    ("name == 9223372036854775808", "64 bits"),
    ("name ==", "ends too early"),
    ("(" * 5000, "brackets"),
]


@pytest.mark.parametrize(("text", "says"), BAD)
def test_bad_condition_is_refused(text: str, says: str) -> None:
    """A bad condition is refused with where it is wrong or what was meant."""
    with pytest.raises(ConditionError) as caught:
        compile_condition(text, "span")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        'attributes["s"] + 1 == 2',
        'attributes["i"] / 0 == 2',
        'attributes["s"]["x"] == 2',
        'attributes["l"][2] == 2',
        '-attributes["s"] == 2',
    ],
)
def test_misfit_raises(text: str) -> None:
    """A condition that does not fit the span raises the library's error."""
    with pytest.raises(EvalError):
        compile_condition(text, "span")(view())


def test_event_paths() -> None:
    """In a `spanevent` list an unprefixed path means the event."""
    text = 'name == "boom" and span.name == "GET" and event_index == 0'
    assert compile_condition(text, "spanevent")(view())


def test_root_span_is_unknown_to_events() -> None:
    """`IsRootSpan` is no function of a `spanevent` list."""
    with pytest.raises(ConditionError):
        compile_condition("IsRootSpan()", "spanevent")


@given(st.text(alphabet='ab"[](){}=<>!.,:+-*/0x1 _not\\nilandorAB', max_size=40))
def test_any_text_compiles_or_is_refused(text: str) -> None:
    """Any text compiles or raises ConditionError, and runs or raises EvalError."""
    try:
        condition = compile_condition(text, "span")
    except ConditionError:
        return
    with suppress(EvalError):
        assert condition(view()) in (True, False)
