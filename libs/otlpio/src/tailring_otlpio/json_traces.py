"""OTLP JSON to the encoded request.

OTLP JSON is protobuf's own JSON mapping but for ids, which are hex (in either case)
where protobuf wants base64. They are rewritten in place, then the protobuf library
does the rest: unknown fields are ignored, enums may be numbers or names, 64-bit
numbers may be text.

Ids stand in spans and links only, so the walk is four plain loops and never recursive;
depth is the protobuf library's to limit.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any, Final

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from tailring_otlpio.errors import MalformedBody

__all__ = ["traces_from_json"]

# The protobuf library's own limit for binary messages.
_DEPTH_MAX: Final = 100
_DETAIL_CHARS_MAX: Final = 300
# Both spellings are legal in protobuf's JSON mapping.
_RESOURCES: Final = ("resourceSpans", "resource_spans")
_SCOPES: Final = ("scopeSpans", "scope_spans")
_SPANS: Final = ("spans",)
_LINKS: Final = ("links",)
_IDS: Final = (
    "traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id",
)  # fmt: skip


def traces_from_json(body: bytes) -> bytes:
    """The encoded ``ExportTraceServiceRequest`` of an OTLP JSON body.

    Pure and slow (tens of microseconds a span): run it in a thread for large bodies.
    Raises `MalformedBody`.
    """
    try:
        parsed = json.loads(body)
        if not isinstance(parsed, dict):
            raise MalformedBody("not OTLP JSON: the body is not an object")
        for span in _spans(parsed):
            _encode_ids(span)
        message = json_format.ParseDict(
            parsed,
            ExportTraceServiceRequest(),
            ignore_unknown_fields=True,
            max_recursion_depth=_DEPTH_MAX,
        )
    except RecursionError:
        raise MalformedBody("JSON is nested too deeply") from None
    except (ValueError, TypeError, AttributeError, json_format.ParseError) as error:
        detail = str(error)[:_DETAIL_CHARS_MAX]
        raise MalformedBody(f"not OTLP JSON: {detail}") from error
    return message.SerializeToString()


def _spans(request: Any) -> Iterator[dict[str, Any]]:
    """Every span and every link; whatever has another shape is left to protobuf."""
    for resource in _children(request, _RESOURCES):
        for scope in _children(resource, _SCOPES):
            for span in _children(scope, _SPANS):
                yield span
                yield from _children(span, _LINKS)


def _children(parent: Any, names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    if not isinstance(parent, dict):
        return
    for name in names:
        items = parent.get(name)
        if isinstance(items, list):
            yield from (item for item in items if isinstance(item, dict))


def _encode_ids(span: dict[str, Any]) -> None:
    for name in _IDS:
        value = span.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            raise MalformedBody(f"{name} is not text")
        try:
            raw = binascii.unhexlify(value)
        except ValueError as error:
            raise MalformedBody(f"{name} is not hex: {error}") from error
        span[name] = base64.b64encode(raw).decode()
