"""Protobuf by hand: fields in any spelling, and an oracle for the envelope alone.

`field` and its siblings write what no library would write: padded varints, groups,
cut ends. `with_unknown_fields` scatters fields that OTLP does not know over a request.
`Envelope` is a message class of the protobuf library for the part of a trace request
that the project's scanner looks into; everything below it is opaque bytes, so that the
library judges exactly the depth that the scanner judges.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import strategies as st

__all__ = [
    "ENVELOPE_PATHS",
    "Envelope",
    "field",
    "group",
    "number_field",
    "split_fields",
    "tag",
    "unknown_fields",
    "varint",
    "with_unknown_fields",
]

# Messages of a trace request that the scanner enters, by path of field numbers.
ENVELOPE_PATHS = frozenset({(), (1,), (1, 2), (1, 2, 2), (1, 2, 2, 15)})


def varint(value: int, *, padding: int = 0) -> bytes:
    """A varint, with bytes that it does not need."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    for _ in range(padding):
        out[-1] |= 0x80
        out.append(0)
    return bytes(out)


def tag(number: int, kind: int, *, padding: int = 0) -> bytes:
    """The tag of a field."""
    return varint(number << 3 | kind, padding=padding)


def field(number: int, content: bytes, *, padding: int = 0) -> bytes:
    """A field of wire type 2; `padding` lengthens its tag and its size."""
    size = varint(len(content), padding=padding)
    return tag(number, 2, padding=padding) + size + content


def number_field(number: int, value: int, *, padding: int = 0) -> bytes:
    """A field of wire type 0; only the value is padded."""
    return tag(number, 0) + varint(value, padding=padding)


def group(number: int, content: bytes = b"") -> bytes:
    """A field of wire types 3 and 4."""
    return tag(number, 3) + content + tag(number, 4)


def _read_varint(buf: bytes, pos: int) -> tuple[int, int]:
    value = shift = 0
    while buf[pos] & 0x80:
        value |= (buf[pos] & 0x7F) << shift
        shift += 7
        pos += 1
    return value | buf[pos] << shift, pos + 1


def split_fields(buf: bytes) -> Iterator[tuple[int, bytes, bytes | None]]:
    """Each field of a well-formed message without groups.

    Yields its number, its bytes, and its content when it is of wire type 2.
    """
    pos = 0
    while pos < len(buf):
        start = pos
        key, pos = _read_varint(buf, pos)
        content = None
        match key & 7:
            case 0:
                _, pos = _read_varint(buf, pos)
            case 1:
                pos += 8
            case 5:
                pos += 4
            case _:
                size, pos = _read_varint(buf, pos)
                content = buf[pos : pos + size]
                pos += size
        yield key >> 3, buf[start:pos], content


# ---------------------------------------------------------------- unknown fields

_NUMBERS = st.sampled_from([100, 1000, 18_999, 2**29 - 1])
_KNOWN_NUMBERS = st.sampled_from([1, 2, 3, 4, 7, 8, 15])


@st.composite
def unknown_fields(draw: st.DrawFn, depth: int = 0) -> bytes:
    """A field that OTLP does not know, or a known one of a wrong wire type."""
    number = draw(_NUMBERS)
    match draw(st.integers(0, 5 if depth < 3 else 3)):
        case 0:
            padding = draw(st.integers(0, 3))
            return number_field(number, draw(st.integers(0, 2**40)), padding=padding)
        case 1:
            return tag(number, 1) + draw(st.binary(min_size=8, max_size=8))
        case 2:
            return field(number, draw(st.binary(max_size=9)))
        case 3:
            return tag(number, 5) + draw(st.binary(min_size=4, max_size=4))
        case 4:
            return group(number, draw(unknown_fields(depth + 1)))
        case _:
            return group(draw(_KNOWN_NUMBERS), draw(unknown_fields(depth + 1)))


@st.composite
def with_unknown_fields(draw: st.DrawFn, payload: bytes) -> bytes:
    """A request of the protobuf library with unknown fields at every level."""
    return _insert(draw, payload, ())


def _insert(draw: st.DrawFn, buf: bytes, path: tuple[int, ...]) -> bytes:
    out = [_some_unknown(draw)]
    for number, encoded, content in split_fields(buf):
        inner = (*path, number)
        if inner in ENVELOPE_PATHS and content is not None:
            out.append(field(number, _insert(draw, content, inner)))
        else:
            out.append(encoded)
        out.append(_some_unknown(draw))
    return b"".join(out)


def _some_unknown(draw: st.DrawFn) -> bytes:
    return draw(unknown_fields()) if draw(st.integers(0, 7)) == 7 else b""


# ---------------------------------------------------------------- the oracle

_SHAPES: dict[str, dict[str, tuple[int, str]]] = {
    "Status": {"code": (3, "int32")},
    "Span": {
        "trace_id": (1, "bytes"),
        "span_id": (2, "bytes"),
        "parent_span_id": (4, "bytes"),
        "start": (7, "fixed64"),
        "end": (8, "fixed64"),
        "status": (15, "Status"),
    },
    "ScopeSpans": {"spans": (2, "Span*")},
    "ResourceSpans": {"scope_spans": (2, "ScopeSpans*")},
    "Request": {"resource_spans": (1, "ResourceSpans*")},
}
_SCALARS = {
    "int32": descriptor_pb2.FieldDescriptorProto.TYPE_INT32,
    "bytes": descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
    "fixed64": descriptor_pb2.FieldDescriptorProto.TYPE_FIXED64,
}


def _envelope() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="tailring_envelope.proto", package="tailring_envelope", syntax="proto3"
    )
    for message, shape in _SHAPES.items():
        built = file.message_type.add(name=message)
        for name, (number, kind) in shape.items():
            added = built.field.add(name=name, number=number)
            added.label = added.LABEL_REPEATED if "*" in kind else added.LABEL_OPTIONAL
            if kind in _SCALARS:
                added.type = _SCALARS[kind]
            else:
                added.type = added.TYPE_MESSAGE
                added.type_name = f".tailring_envelope.{kind.rstrip('*')}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName("tailring_envelope.Request")
    return message_factory.GetMessageClass(found)


Envelope: Any = _envelope()
