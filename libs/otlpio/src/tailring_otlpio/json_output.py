"""Encoded requests to OTLP JSON, character for character as the Collector writes it.

Rules, which are those of upstream's pdata:

* Members stand in the order in which the proto files declare them, without blanks; of
  an exemplar the trace id stands before the span id.
* A field without presence is left out when it is zero, and a list when it is empty; a
  message that is no choice of a ``oneof`` is always there, if only as ``{}``.
* Ids are hex and left out when all their bytes are zero; other bytes are base64.
* 64-bit integers are text; enums are numbers; NaN and the infinities are text; other
  floating-point numbers have an exponent only below 1e-6 and from 1e21 on.

It is slow (tens of microseconds an item): `json_of` runs it beside the event loop.
Fields that the installed proto files do not know are not in the JSON.
"""

from __future__ import annotations

import asyncio
import json
import math
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from tailring_pipeline import Rejected, Signal

__all__ = ["json_of", "request_to_json"]

# Larger requests would hold up the loop for milliseconds; they go to a thread.
_INLINE_BYTES_MAX: Final = 4 * 1024
_IDS: Final = frozenset({"trace_id", "span_id", "parent_span_id"})
# Below and from which magnitudes a number is written with an exponent.
_PLAIN_MIN: Final = 1e-6
_PLAIN_MAX: Final = 1e21
# Python has short escapes for these; upstream's writer has not.
_LONG_ESCAPES: Final = {"\b": "\\u0008", "\f": "\\u000c"}


async def json_of(payload: bytes, signal: Signal) -> bytes:
    """`request_to_json`, in a thread when it takes long."""
    if len(payload) <= _INLINE_BYTES_MAX:
        return request_to_json(payload, signal)
    return await asyncio.to_thread(request_to_json, payload, signal)


def request_to_json(payload: bytes, signal: Signal) -> bytes:
    """The OTLP JSON of an encoded export request of ``signal``.

    Raises `Rejected` when it cannot be decoded; one of its items may be at fault.
    """
    request, shape = _REQUESTS[signal]
    try:
        message = request.FromString(payload)
    except DecodeError as error:
        raise Rejected("invalid_argument", f"cannot be decoded: {error}") from error
    return _object(message, shape).encode()


class _Shown(Enum):
    """When a member is written."""

    ALWAYS = "always"
    WHEN_SET = "when set"
    WHEN_NOT_ZERO = "when not zero"


@dataclass(slots=True)
class _Shape:
    """The members of a message in their order."""

    members: list[_Member] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Member:
    """How one field is written; ``label`` is its name with quotes and colon."""

    name: str
    label: str
    repeated: bool
    shown: _Shown
    text: Callable[[Any], str]


def _object(message: Any, shape: _Shape) -> str:
    parts: list[str] = []
    for member in shape.members:
        if member.shown is _Shown.WHEN_SET and not message.HasField(member.name):
            continue
        value = getattr(message, member.name)
        if member.repeated:
            if value:
                items = ",".join(map(member.text, value))
                parts.append(f"{member.label}[{items}]")
        elif member.shown is not _Shown.WHEN_NOT_ZERO or value:
            text = member.text(value)
            if text:
                parts.append(member.label + text)
    return "{" + ",".join(parts) + "}"


# ---------------------------------------------------------------- values


def _string(value: str) -> str:
    if "\b" in value or "\f" in value:
        return '"' + "".join(map(_escaped, value)) + '"'
    return json.dumps(value, ensure_ascii=False)


def _escaped(char: str) -> str:
    return _LONG_ESCAPES.get(char) or json.dumps(char, ensure_ascii=False)[1:-1]


def _hex_id(value: bytes) -> str:
    # "" leaves the member out.
    return f'"{value.hex()}"' if value.strip(b"\0") else ""


def _base64(value: bytes) -> str:
    return f'"{b64encode(value).decode()}"'


def _number(value: int) -> str:
    return str(value)


def _quoted(value: int) -> str:
    return f'"{value}"'


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _double(value: float) -> str:
    if math.isnan(value):
        return '"NaN"'
    if math.isinf(value):
        return '"Infinity"' if value > 0 else '"-Infinity"'
    size = abs(value)
    if value and not _PLAIN_MIN <= size < _PLAIN_MAX:
        return repr(value)
    text = repr(value)
    if "e" in text:
        text = format(Decimal(text), "f")
    return text.removesuffix(".0")


_TEXTS: Final[dict[int, Callable[[Any], str]]] = {
    FieldDescriptor.TYPE_STRING: _string,
    FieldDescriptor.TYPE_BOOL: _boolean,
    FieldDescriptor.TYPE_DOUBLE: _double,
    FieldDescriptor.TYPE_INT64: _quoted,
    FieldDescriptor.TYPE_SFIXED64: _quoted,
    FieldDescriptor.TYPE_UINT64: _quoted,
    FieldDescriptor.TYPE_FIXED64: _quoted,
    FieldDescriptor.TYPE_INT32: _number,
    FieldDescriptor.TYPE_SINT32: _number,
    FieldDescriptor.TYPE_UINT32: _number,
    FieldDescriptor.TYPE_FIXED32: _number,
    FieldDescriptor.TYPE_ENUM: _number,
}


# ---------------------------------------------------------------- the table


def _text_of(found: FieldDescriptor, known: dict[str, _Shape]) -> Callable[[Any], str]:
    if found.message_type is not None:
        shape = _shape_of(found.message_type, known)
        return partial(_object, shape=shape)
    if found.type == FieldDescriptor.TYPE_BYTES:
        return _hex_id if found.name in _IDS else _base64
    return _TEXTS[found.type]


def _shown(found: FieldDescriptor) -> _Shown:
    if found.is_repeated:
        return _Shown.ALWAYS  # the list itself says whether there is anything
    if found.containing_oneof is not None:  # that of an `optional` has one field
        return _Shown.WHEN_SET
    if found.message_type is not None:
        return _Shown.ALWAYS
    return _Shown.WHEN_NOT_ZERO


def _in_order(message: Descriptor) -> list[FieldDescriptor]:
    fields = list(message.fields)
    if message.name == "Exemplar":
        # Upstream writes the trace first, here as everywhere else.
        fields.sort(key=lambda found: found.name == "span_id")
    return fields


def _shape_of(message: Descriptor, known: dict[str, _Shape]) -> _Shape:
    """The shape of a message; ``known`` ends the recursion of values in values."""
    if message.full_name in known:
        return known[message.full_name]
    shape = known[message.full_name] = _Shape()
    for found in _in_order(message):
        shape.members.append(
            _Member(
                found.name,
                f'"{found.camelcase_name}":',
                found.is_repeated,
                _shown(found),
                _text_of(found, known),
            )
        )
    return shape


_KNOWN: Final[dict[str, _Shape]] = {}
_REQUESTS: Final[Mapping[Signal, tuple[Any, _Shape]]] = {
    signal: (request, _shape_of(request.DESCRIPTOR, _KNOWN))
    for signal, request in (
        (Signal.TRACES, ExportTraceServiceRequest),
        (Signal.LOGS, ExportLogsServiceRequest),
        (Signal.METRICS, ExportMetricsServiceRequest),
    )
}
