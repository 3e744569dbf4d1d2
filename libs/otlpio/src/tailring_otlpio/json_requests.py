"""OTLP JSON to the encoded request.

OTLP JSON is protobuf's JSON mapping with ids in hex. It is read as the Collector reads
it, which is not how a protobuf library does; where the two differ the more tolerant one
is followed, as long as nothing is lost without a word:

* Names are lowerCamelCase or snake_case; unknown ones are skipped.
* Null is the default of any field, and an empty message inside of a list.
* 64-bit numbers are text or numbers, enums are numbers or names, bytes are base64 of
  either alphabet with or without padding; NaN and the infinities are text.
* A name that comes twice counts as in protobuf: lists and messages grow together, of
  other values the last one counts.
* Bytes that are not UTF-8 and lone surrogates become U+FFFD: no text of protobuf can
  carry them.
* What follows the document is an error: whoever sends two would lose the second.

How it works: a table made from the message descriptors says for each name which reader
takes its value. The depth is bounded before the interpreter's stack is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from tailring_otlpio import json_values
from tailring_otlpio.errors import MalformedBody
from tailring_otlpio.json_values import Reader
from tailring_pipeline import Signal

__all__ = ["request_from_json"]

# How deep protobuf's decoders read messages in messages.
_DEPTH_MAX: Final = 100
_DETAIL_CHARS_MAX: Final = 300
_ID_BYTES: Final = {"trace_id": 16, "span_id": 8, "parent_span_id": 8}


class _Object(list[tuple[str, Any]]):
    """A JSON object with its names in the order written, those that repeat included."""


@dataclass(frozen=True, slots=True)
class _Field:
    """How the value of one name is read: by ``shape`` if it is a message."""

    name: str
    repeated: bool
    read: Reader
    shape: _Shape | None
    # What null is in a list.
    empty: object


@dataclass(slots=True)
class _Shape:
    """The names of a message."""

    fields: dict[str, _Field] = field(default_factory=dict)


def request_from_json(body: bytes, signal: Signal = Signal.TRACES) -> bytes:
    """The encoded export request of an OTLP JSON body of ``signal``.

    Pure and slow (tens of microseconds an item): run it in a thread for large bodies.
    Raises `MalformedBody`.
    """
    request, shape = _REQUESTS[signal]
    try:
        text = body.decode("utf-8-sig", errors="replace")
        parsed = json.loads(
            text, object_pairs_hook=_object, parse_constant=_refuse_constant
        )
        message = request()
        _fill(message, parsed, shape=shape, depth=0)
    except RecursionError:
        raise MalformedBody("JSON is nested too deeply") from None
    except ValueError as error:
        detail = str(error)[:_DETAIL_CHARS_MAX]
        raise MalformedBody(f"not OTLP JSON: {detail}") from error
    encoded: bytes = message.SerializeToString()
    return encoded


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    # In Python, where the interpreter lets other threads run: the decoder alone would
    # keep the event loop waiting for seconds.
    return _Object(pairs)


def _refuse_constant(literal: str) -> None:
    raise ValueError(f"{literal} is not JSON, it must be text")


def _fill(message: Any, value: Any, *, shape: _Shape, depth: int) -> None:
    """Read an object into ``message``; null is one without members."""
    if value is None:
        return
    if type(value) is not _Object:
        raise ValueError("an object was expected")
    if depth > _DEPTH_MAX:
        raise ValueError("messages are nested too deeply")
    known = shape.fields
    for name, item in value:
        member = known.get(name)
        if member is None:
            continue
        try:
            _read(message, item, member=member, depth=depth + 1)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error


def _read(message: Any, item: Any, *, member: _Field, depth: int) -> None:
    if member.repeated:
        _extend(getattr(message, member.name), item, member=member, depth=depth)
    elif member.shape is not None:
        child = getattr(message, member.name)
        child.SetInParent()
        _fill(child, item, shape=member.shape, depth=depth)
    else:
        read = member.read(item)
        if read is not None:
            setattr(message, member.name, read)


def _extend(items: Any, value: Any, *, member: _Field, depth: int) -> None:
    if value is None:
        return
    if type(value) is not list:
        raise ValueError("a list was expected")
    for item in value:
        if member.shape is not None:
            _fill(items.add(), item, shape=member.shape, depth=depth)
        else:
            read = member.read(item)
            items.append(member.empty if read is None else read)


# ---------------------------------------------------------------- the table


def _numbers(found: FieldDescriptor) -> dict[str, int]:
    assert found.enum_type is not None, "only enums are asked for their names"
    return {name: one.number for name, one in found.enum_type.values_by_name.items()}


_READERS: Final[dict[int, Callable[[FieldDescriptor], Reader]]] = {
    FieldDescriptor.TYPE_STRING: lambda _: json_values.text,
    FieldDescriptor.TYPE_BOOL: lambda _: json_values.boolean,
    FieldDescriptor.TYPE_DOUBLE: lambda _: json_values.double,
    FieldDescriptor.TYPE_INT32: lambda _: json_values.integer(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: lambda _: json_values.integer(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SFIXED64: lambda _: json_values.integer(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SINT32: lambda _: json_values.integer(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT64: lambda _: json_values.integer(0, 2**64 - 1),
    FieldDescriptor.TYPE_UINT32: lambda _: json_values.integer(0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED32: lambda _: json_values.integer(0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED64: lambda _: json_values.integer(0, 2**64 - 1),
    FieldDescriptor.TYPE_ENUM: lambda found: json_values.enum(_numbers(found)),
    FieldDescriptor.TYPE_BYTES: lambda found: (
        json_values.hex_id(_ID_BYTES[found.name])
        if found.name in _ID_BYTES
        else json_values.base64_bytes
    ),
    FieldDescriptor.TYPE_MESSAGE: lambda _: json_values.text,  # its shape reads it
}


def _shape_of(message: Descriptor, known: dict[str, _Shape]) -> _Shape:
    """The shape of a message; ``known`` ends the recursion of values in values."""
    if message.full_name in known:
        return known[message.full_name]
    shape = known[message.full_name] = _Shape()
    for found in message.fields:
        inner = found.message_type
        one = _Field(
            found.name,
            found.is_repeated,
            _READERS[found.type](found),
            None if inner is None else _shape_of(inner, known),
            "" if found.type == FieldDescriptor.TYPE_STRING else 0,
        )
        shape.fields[found.name] = shape.fields[found.camelcase_name] = one
    return shape


_KNOWN: Final[dict[str, _Shape]] = {}
_REQUESTS: Final[Mapping[Signal, tuple[Callable[[], Any], _Shape]]] = {
    signal: (request, _shape_of(request.DESCRIPTOR, _KNOWN))
    for signal, request in (
        (Signal.TRACES, ExportTraceServiceRequest),
        (Signal.LOGS, ExportLogsServiceRequest),
        (Signal.METRICS, ExportMetricsServiceRequest),
    )
}
