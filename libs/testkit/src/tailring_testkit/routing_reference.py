"""Routing keys the slow and plain way, from decoded messages.

What the upstream exporter (v0.161.0) does, written down once more without a look at
the wire code: `keys_of` gives the key of each item of a request in its order.
"""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Final

import xxhash
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from tailring_testkit.signal_requests import DATA, MESSAGES

__all__ = ["UNROUTABLE", "fnv1a", "keys_of", "map_hash", "number_text", "text_of"]

# Stands for the key of a data point that has none.
UNROUTABLE: Final = b"(unroutable)"

_TRACES, _LOGS, _METRICS = range(3)
_KINDS: Final = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
_MASK: Final = 2**64 - 1


def keys_of(
    payload: bytes, kind: int, key: str, names: Sequence[str] = ()
) -> list[bytes]:
    """The key of each item; log records without a trace id have the key empty."""
    message = MESSAGES[kind].FromString(payload)
    if kind == _TRACES:
        return _keys_of_traces(message, key, names)
    if kind == _LOGS:
        return _keys_of_logs(message, key, names)
    return _keys_of_metrics(message, key, names)


def _keys_of_traces(message: Any, key: str, names: Sequence[str]) -> list[bytes]:
    if key == "service":
        names = ["service.name"]
    scopes = (
        (resource, scope)
        for resource in message.resource_spans
        for scope in resource.scope_spans
    )
    return [
        found
        for resource, scope in scopes
        for found in _keys_of_scope(resource, scope, names if key != "traceID" else ())
    ]


def _keys_of_scope(resource: Any, scope: Any, names: Sequence[str]) -> list[bytes]:
    """The first span of a trace decides for all of it; without names, its id."""
    of_trace: dict[bytes, bytes] = {}
    above = (resource.resource.attributes, scope.scope.attributes)
    for span in scope.spans:
        trace_id = span.trace_id or bytes(16)
        key = _span_key(above, span, names) if names else trace_id
        of_trace.setdefault(trace_id, key)
    return [of_trace[span.trace_id or bytes(16)] for span in scope.spans]


def _span_key(above: Sequence[Any], span: Any, names: Sequence[str]) -> bytes:
    own = {
        "span.kind": _KINDS[span.kind] if 0 <= span.kind < len(_KINDS) else "",
        "span.name": span.name,
    }
    key = ""
    for name in names:
        values = (_get(each, name) for each in (*above, span.attributes))
        resource, scope, item = (None if it is None else text_of(it) for it in values)
        choices = (resource, scope, own.get(name), item, "")
        key += f"{name}={next(each for each in choices if each is not None)}|"
    return key.encode()


def _keys_of_logs(message: Any, key: str, names: Sequence[str]) -> list[bytes]:
    records = (
        (resource.resource.attributes, scope.scope.attributes, record)
        for resource in message.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    )
    found: list[bytes] = []
    for attributes, of_scope, record in records:
        if key == "service":
            found.append(_string(_get(attributes, "service.name")))
        elif key == "resource":
            found.append(_resource_key(attributes))
        elif key == "traceID":
            given = any(record.trace_id)
            found.append(record.trace_id.hex().encode() if given else b"")
        else:
            own = {
                "log.severity": record.severity_text,
                "log.body": text_of(record.body),
            }
            levels = (attributes, of_scope, record.attributes)
            found.append(_layered(levels, own, names))
    return found


def _keys_of_metrics(message: Any, key: str, names: Sequence[str]) -> list[bytes]:
    points = (
        (resource.resource.attributes, scope.scope, metric, point)
        for resource in message.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in _points(metric)
    )
    found: list[bytes] = []
    for attributes, scope, metric, point in points:
        levels = (attributes, scope.attributes, point.attributes)
        if key == "service":
            found.append(_service_of_metrics(attributes))
        elif key == "resource":
            found.append(_resource_key(attributes))
        elif key == "metric":
            found.append(metric.name.encode())
        elif key == "streamID":
            found.append(_stream_key(levels, scope, metric))
        else:
            found.append(_layered(levels, {}, names))
    return found


def _points(metric: Metric) -> Sequence[Any]:
    which = metric.WhichOneof("data")
    return getattr(metric, which).data_points if which else ()


def _service_of_metrics(attributes: Iterable[KeyValue]) -> bytes:
    value = _get(attributes, "service.name")
    return UNROUTABLE if value is None else _string(value)


def _layered(
    levels: Sequence[Iterable[KeyValue]], own: dict[str, str], names: Sequence[str]
) -> bytes:
    """First what the resource has, then what the scope has, then the rest."""
    key = ""
    pending = list(names)
    for attributes in levels[:2]:
        values = {name: _get(attributes, name) for name in pending}
        for name in pending:
            value = values[name]
            if value is not None:
                key += f"{name}={text_of(value)}|"
        pending = [name for name in pending if values[name] is None]
    for name in pending:
        value = _get(levels[2], name)
        text = "" if value is None else text_of(value)
        key += f"{name}={own.get(name, text)}|"
    return key.encode()


def _get(attributes: Iterable[KeyValue], name: str) -> AnyValue | None:
    return next((each.value for each in attributes if each.key == name), None)


def _string(value: AnyValue | None) -> bytes:
    return b"" if value is None else value.string_value.encode()


# ---------------------------------------------------------------- text


def text_of(value: AnyValue) -> str:
    """The text of an attribute's value."""
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "int_value":
            return str(value.int_value)
        case "bool_value":
            return "true" if value.bool_value else "false"
        case "double_value":
            return number_text(value.double_value)
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case "array_value" | "kvlist_value":
            try:
                return _json(value)
            except ValueError:  # no number of JSON
                return ""
    return ""


def number_text(number: float) -> str:
    """As ECMAScript writes a number, but for -0."""
    if not math.isfinite(number):
        return {"inf": "Infinity", "-inf": "-Infinity"}.get(repr(number), "NaN")
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    assert isinstance(exponent, int)
    if number == 0 or 1e-6 <= abs(number) < 1e21:
        return format(Decimal((sign, digits, exponent)), "f")
    text = "".join(map(str, digits))
    power = exponent + len(text) - 1
    mantissa = text[0] + ("." + text[1:] if len(text) > 1 else "")
    return f"{'-' * sign}{mantissa}e{'-' if power < 0 else '+'}{abs(power)}"


def _json(value: AnyValue) -> str:
    match value.WhichOneof("value"):
        case "string_value":
            return _quoted(value.string_value)
        case "double_value":
            text = number_text(value.double_value)
            if not text[-1].isdigit():
                raise ValueError(text)
            return text
        case "bytes_value" if value.bytes_value:
            return f'"{base64.b64encode(value.bytes_value).decode()}"'
        case "array_value":
            return f"[{','.join(map(_json, value.array_value.values))}]"
        case "kvlist_value":
            last = {each.key: each.value for each in value.kvlist_value.values}
            keys = sorted(last, key=lambda key: key.encode())
            return (
                "{"
                + ",".join(f"{_quoted(key)}:{_json(last[key])}" for key in keys)
                + "}"
            )
        case "bytes_value" | None:
            return "null"
    return text_of(value)


def _quoted(text: str) -> str:
    written = json.dumps(text, ensure_ascii=False)
    return written.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


# ---------------------------------------------------------------- identities


def map_hash(attributes: Sequence[KeyValue]) -> bytes:
    """The 16 bytes that stand for a map of attributes."""
    if not attributes:
        return bytes(16)
    data = _serialised(attributes)
    numbers = (xxhash.xxh64(each).intdigest() for each in (data, data + b"\xf3"))
    return struct.pack("<QQ", *numbers)


def _serialised(attributes: Sequence[KeyValue]) -> bytes:
    out = b""
    for key in sorted(each.key.encode() for each in attributes):
        value = _get(attributes, key.decode())
        assert value is not None
        out += b"\xf4" + key + _value_bytes(value)
    return out


def _value_bytes(value: AnyValue) -> bytes:
    match value.WhichOneof("value"):
        case "string_value":
            return b"\xf7" + value.string_value.encode()
        case "bool_value":
            return b"\xf8" if value.bool_value else b"\xf9"
        case "int_value":
            return b"\xfa" + struct.pack("<q", value.int_value)
        case "double_value":
            return b"\xfb" + struct.pack("<d", value.double_value)
        case "bytes_value":
            return b"\xf6" + value.bytes_value
        case "kvlist_value":
            return b"\xfc" + _serialised(list(value.kvlist_value.values)) + b"\xfd"
        case "array_value":
            return (
                b"\xfe"
                + b"".join(map(_value_bytes, value.array_value.values))
                + b"\xff"
            )
    return b"\xf5"


def fnv1a(data: bytes) -> int:
    """FNV-1a with 64 bits."""
    state = 14695981039346656037
    for byte in data:
        state = (state ^ byte) * 1099511628211 & _MASK
    return state


def _resource_key(attributes: Sequence[KeyValue]) -> bytes:
    return f"resource/{fnv1a(map_hash(attributes)):x}".encode()


def _stream_key(
    levels: Sequence[Sequence[KeyValue]], scope: Any, metric: Metric
) -> bytes:
    resource, of_scope, point = map(map_hash, levels)
    which = metric.WhichOneof("data") or ""
    data = getattr(metric, which)
    temporality = getattr(data, "aggregation_temporality", 0)
    monotonic = "histogram" in which or getattr(data, "is_monotonic", False)
    sort = bytes((DATA.index(which) + 1, monotonic, temporality))
    names = (scope.name + scope.version).encode()
    of_metric = (metric.name + metric.unit).encode() + sort
    return f"stream/{fnv1a(resource + names + of_scope + of_metric + point):x}".encode()
