"""Hypothesis strategies of trace requests.

`messages` and `requests` make well-formed requests of few traces, so that the same
trace turns up under several resources and scopes. `spellings` rewrites an encoded
request into another one that protobuf must read as the same message: fields in
another order, scalars repeated, varints longer than needed.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.trace.v1.trace_pb2 import (
    ResourceSpans,
    ScopeSpans,
    Span,
    Status,
)

from tailring_testkit import otlp

__all__ = ["messages", "requests", "respelled_requests", "spellings", "trace_ids"]

_U64_MAX = 2**64 - 1
_TRACE_IDS = tuple(otlp.trace_ids(5, seed=0))

# Few and short: what matters is which of them are equal.
_TEXT = st.text(max_size=6)
_ATTRIBUTES = st.dictionaries(
    st.sampled_from(["service.name", "k8s.pod.name", "x"]),
    st.one_of(_TEXT, st.integers(-(2**63), 2**63 - 1), st.booleans(), st.floats()),
    max_size=3,
)
_TIMES = st.one_of(
    st.just(0),
    st.integers(0, 10**6).map(lambda offset: otlp.EPOCH_NS + offset),
    st.integers(0, _U64_MAX),
)


def trace_ids() -> st.SearchStrategy[bytes]:
    """One of five trace ids, or, seldom, any other or the empty one."""
    return st.one_of(
        st.sampled_from(_TRACE_IDS),
        st.sampled_from(_TRACE_IDS),
        st.binary(min_size=16, max_size=16),
    )


@st.composite
def _spans(draw: st.DrawFn) -> Span:
    built = otlp.span(
        draw(trace_ids()),
        draw(st.binary(min_size=8, max_size=8)),
        parent=draw(st.sampled_from([b"", b"\x01" * 8])),
        name=draw(_TEXT),
        start_ns=draw(_TIMES),
        end_ns=draw(_TIMES),
        kind=draw(st.integers(0, 5)),
        attributes=draw(_ATTRIBUTES),
    )
    if draw(st.booleans()):
        code = draw(st.sampled_from([0, 1, 2]))
        built.status.code = Status.StatusCode.ValueType(code)
        built.status.message = draw(_TEXT)
    return built


@st.composite
def _scopes(draw: st.DrawFn) -> ScopeSpans:
    built = ScopeSpans(spans=draw(st.lists(_spans(), max_size=4)))
    if draw(st.booleans()):
        built.scope.name = draw(st.sampled_from(["", "a", "b"]))
    built.schema_url = draw(st.sampled_from(["", "", "https://schema.test/1"]))
    return built


@st.composite
def _resources(draw: st.DrawFn) -> ResourceSpans:
    built = ResourceSpans(scope_spans=draw(st.lists(_scopes(), max_size=3)))
    if draw(st.booleans()):
        built.resource.attributes.extend(otlp.key_values(draw(_ATTRIBUTES)))
    built.schema_url = draw(st.sampled_from(["", "", "https://schema.test/1"]))
    return built


def messages() -> st.SearchStrategy[ExportTraceServiceRequest]:
    """Parsed requests of up to three resources."""
    return st.lists(_resources(), max_size=3).map(
        lambda parts: ExportTraceServiceRequest(resource_spans=parts)
    )


def requests() -> st.SearchStrategy[bytes]:
    """The same, encoded as the protobuf library writes them."""
    return messages().map(lambda message: message.SerializeToString())


# ---------------------------------------------------------------- other spellings

# The fields whose content is a message that is rewritten too: path of field numbers.
_NESTED = frozenset(
    {
        (1,),  # resource_spans
        (1, 1),  # resource
        (1, 2),  # scope_spans
        (1, 2, 1),  # scope
        (1, 2, 2),  # spans
        (1, 2, 2, 15),  # status
    }
)
# Repeated fields keep their order among themselves; swapping those of different
# numbers is what protobuf allows.


@dataclass(frozen=True, slots=True)
class _Field:
    number: int
    kind: int
    value: int | bytes


def _varint(value: int, *, padding: int = 0) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    for _ in range(min(padding, 10 - len(out))):
        out[-1] |= 0x80
        out.append(0)
    return bytes(out)


def _read_varint(buf: bytes, pos: int) -> tuple[int, int]:
    value = shift = 0
    while buf[pos] & 0x80:
        value |= (buf[pos] & 0x7F) << shift
        shift += 7
        pos += 1
    return value | buf[pos] << shift, pos + 1


def _fields(buf: bytes) -> list[_Field]:
    """The fields of a message that the protobuf library wrote."""
    found: list[_Field] = []
    pos = 0
    while pos < len(buf):
        tag, pos = _read_varint(buf, pos)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            scalar, pos = _read_varint(buf, pos)
            found.append(_Field(number, kind, scalar))
            continue
        if kind == 2:
            size, pos = _read_varint(buf, pos)
        else:
            size = 8 if kind == 1 else 4
        found.append(_Field(number, kind, buf[pos : pos + size]))
        pos += size
    return found


def _shuffled(draw: st.DrawFn, fields: list[_Field]) -> list[_Field]:
    """Another order; fields of one number keep theirs."""
    numbers = draw(st.permutations([field.number for field in fields]))
    queues = {number: [f for f in fields if f.number == number] for number in numbers}
    return [queues[number].pop(0) for number in numbers]


def _respelled(draw: st.DrawFn, buf: bytes, path: tuple[int, ...]) -> bytes:
    out = bytearray()
    for field in _shuffled(draw, _fields(buf)):
        padding = draw(st.integers(0, 3))
        # A tag is 32 bits: the library takes at most five bytes for it.
        tag = _varint(field.number << 3 | field.kind, padding=min(padding, 3))
        value = field.value
        if isinstance(value, int):
            if draw(st.booleans()):  # the last one of a scalar counts
                out += tag + _varint(draw(st.integers(0, _U64_MAX)))
            out += tag + _varint(value, padding=padding)
            continue
        inner = (*path, field.number)
        if inner in _NESTED:
            value = _respelled(draw, value, inner)
        length = _varint(len(value), padding=padding) if field.kind == 2 else b""
        out += tag + length + value
    return bytes(out)


@st.composite
def spellings(draw: st.DrawFn, payload: bytes) -> bytes:
    """Another encoding of the request ``payload`` (which the library wrote)."""
    return _respelled(draw, payload, ())


def respelled_requests() -> st.SearchStrategy[bytes]:
    """Requests in unusual but valid encodings."""
    return requests().flatmap(spellings)
