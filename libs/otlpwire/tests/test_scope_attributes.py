"""Attributes that are written into encoded scope headers."""

from __future__ import annotations

from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    InstrumentationScope,
    KeyValue,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from tailring_otlpwire import scope_text, with_scope_attributes
from tailring_otlpwire.scope_attributes import TRUE

UNKNOWN = b"\xfa\x3e\x03abc"


def texts(**attributes: str) -> list[KeyValue]:
    return [
        KeyValue(key=key, value=AnyValue(string_value=text))
        for key, text in attributes.items()
    ]


def test_attributes_are_appended_and_the_rest_stays() -> None:
    """Name, version, attributes, schema URL and unknown fields are as they were."""
    scope = ScopeSpans(
        scope=InstrumentationScope(name="n", version="v", attributes=texts(a="1")),
        schema_url="url",
    )
    header = scope.SerializeToString() + UNKNOWN
    written = with_scope_attributes(header, {"p": scope_text("é"), "c": TRUE})
    scope.scope.attributes.extend(texts(p="é"))
    scope.scope.attributes.append(KeyValue(key="c", value=AnyValue(bool_value=True)))
    assert ScopeSpans.FromString(written[: -len(UNKNOWN)]) == scope
    assert written.endswith(UNKNOWN)


def test_a_header_without_a_scope_gets_one() -> None:
    """The attributes of an empty header stand in a scope of their own."""
    found = ScopeSpans.FromString(with_scope_attributes(b"", {"p": scope_text("x")}))
    assert list(found.scope.attributes) == texts(p="x")


def test_a_key_that_is_there_is_replaced_in_its_place() -> None:
    """The first attribute of the key gets the value, and none is added."""
    old = texts(a="1", p="old", b="2")
    header = ScopeSpans(scope=InstrumentationScope(attributes=old)).SerializeToString()
    found = ScopeSpans.FromString(with_scope_attributes(header, {"p": scope_text("x")}))
    assert list(found.scope.attributes) == texts(a="1", p="x", b="2")


def test_a_scope_in_parts_is_merged() -> None:
    """What protobuf reads from several scope fields is the same afterwards."""
    parts = [
        ScopeSpans(scope=InstrumentationScope(name="n", attributes=texts(a="1"))),
        ScopeSpans(scope=InstrumentationScope(version="v", attributes=texts(b="2"))),
    ]
    header = b"".join(part.SerializeToString() for part in parts)
    found = ScopeSpans.FromString(with_scope_attributes(header, {"p": scope_text("x")}))
    expected = InstrumentationScope(
        name="n", version="v", attributes=texts(a="1", b="2", p="x")
    )
    assert found.scope == expected
