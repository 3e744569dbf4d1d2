"""Attributes written into an encoded scope header, `Piece.scope`.

Only the bytes around the new attributes change: what a scope says besides is copied as
it is, unknown fields included. An attribute whose key is there already takes the place
of the first one that has it, as the Collector's maps do; all others are appended. A
scope that comes in several parts, which protobuf allows and merges, becomes one.
"""

from collections.abc import Mapping
from typing import Final

from tailring_otlpwire.fields import Fields, varint
from tailring_otlpwire.fragments import Fragments

_SCOPE: Final = 0x0A  # field 1 of a ScopeSpans
_ATTRIBUTES: Final = 0x1A  # field 3 of an InstrumentationScope
_KEY: Final = 0x0A  # field 1 of a KeyValue
_SCOPE_NESTING: Final = 3
_ATTRIBUTE_NESTING: Final = 4

TRUE: Final = b"\x10\x01"


def text_value(text: str) -> bytes:
    """An encoded AnyValue that holds a text."""
    return _field(b"\x0a", text.encode())


def with_scope_attributes(scope: bytes, attributes: Mapping[str, bytes]) -> bytes:
    """The header with these attributes, encoded AnyValues by key. Raises WireError."""
    before, after, merged = Fragments(), Fragments(), Fragments()
    fields = Fields(scope, 0, len(scope), 2)
    while fields.next():
        if fields.tag == _SCOPE:
            merged.add(scope[fields.body : fields.pos])
        else:
            rest = after if merged.size else before
            rest.add(scope[fields.at : fields.pos])
    inner = _with_attributes(merged.value(), attributes)
    return before.value() + _field(b"\x0a", inner) + after.value()


def _with_attributes(scope: bytes, attributes: Mapping[str, bytes]) -> bytes:
    left = {key.encode(): value for key, value in attributes.items()}
    out = Fragments()
    fields = Fields(scope, 0, len(scope), _SCOPE_NESTING)
    while fields.next():
        field = scope[fields.at : fields.pos]
        if fields.tag == _ATTRIBUTES:
            key = _key_of(scope[fields.body : fields.pos])
            if key in left:
                field = _attribute(key, left.pop(key))
        out.add(field)
    for key, value in left.items():
        out.add(_attribute(key, value))
    return out.value()


def _key_of(attribute: bytes) -> bytes:
    key = b""
    fields = Fields(attribute, 0, len(attribute), _ATTRIBUTE_NESTING)
    while fields.next():
        if fields.tag == _KEY:
            key = attribute[fields.body : fields.pos]
    return key


def _attribute(key: bytes, value: bytes) -> bytes:
    return _field(b"\x1a", _field(b"\x0a", key) + _field(b"\x12", value))


def _field(tag: bytes, body: bytes) -> bytes:
    return tag + varint(len(body)) + body
