"""Encoded traces as text: a line for each span, or all of it, laid out as upstream."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    InstrumentationScope,
    KeyValue,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

__all__ = ["detailed_text", "normal_text", "text_of_value"]

KINDS = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
STATUS_CODES = ("Unset", "Ok", "Error")
VALUE_NAMES = {
    "string_value": "Str", "bool_value": "Bool", "int_value": "Int",
    "double_value": "Double", "array_value": "Slice", "kvlist_value": "Map",
    "bytes_value": "Bytes",
}  # fmt: skip


def normal_text(request: ExportTraceServiceRequest) -> str:
    """A line for each resource, scope and span, attributes behind it."""
    return "".join(f"{line}\n" for line in _normal_lines(request))


def detailed_text(request: ExportTraceServiceRequest) -> str:
    """Every field of every span."""
    return "".join(f"{line}\n" for line in _detailed_lines(request))


def text_of_value(value: AnyValue) -> str:
    """An attribute value as plain text; containers as JSON, bytes as base64."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    if kind is None:
        return ""
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))


def _normal_lines(request: ExportTraceServiceRequest) -> Iterator[str]:
    for index, resource in enumerate(request.resource_spans):
        schema = f" [{resource.schema_url}]" if resource.schema_url else ""
        attributes = _pairs(resource.resource.attributes)
        yield f"ResourceTraces #{index}{schema}{attributes}"
        for scope_index, scope in enumerate(resource.scope_spans):
            named = _scope_name(scope.scope, schema_url=scope.schema_url)
            yield f"ScopeTraces #{scope_index}{named}{_pairs(scope.scope.attributes)}"
            for span in scope.spans:
                ids = f"{span.trace_id.hex()} {span.span_id.hex()}"
                yield f"{span.name} {ids}{_pairs(span.attributes)}"


def _scope_name(scope: InstrumentationScope, *, schema_url: str) -> str:
    version = f"@{scope.version}" if scope.version else ""
    words = [f"{scope.name}{version}", f"[{schema_url}]" if schema_url else ""]
    return "".join(f" {word}" for word in words if word)


def _pairs(attributes: Iterable[KeyValue]) -> str:
    return "".join(f" {one.key}={text_of_value(one.value)}" for one in attributes)


def _detailed_lines(request: ExportTraceServiceRequest) -> Iterator[str]:
    for index, resource in enumerate(request.resource_spans):
        yield f"ResourceSpans #{index}"
        yield f"Resource SchemaURL: {resource.schema_url}"
        yield from _attributes("Resource attributes", resource.resource.attributes)
        for scope_index, scope in enumerate(resource.scope_spans):
            yield f"ScopeSpans #{scope_index}"
            yield f"ScopeSpans SchemaURL: {scope.schema_url}"
            yield f"InstrumentationScope {scope.scope.name} {scope.scope.version}"
            yield from _attributes(
                "InstrumentationScope attributes", scope.scope.attributes
            )
            for span_index, span in enumerate(scope.spans):
                yield f"Span #{span_index}"
                yield from _span_lines(span)


def _span_lines(span: Span) -> Iterator[str]:
    yield _field("Trace ID", span.trace_id.hex())
    yield _field("Parent ID", span.parent_span_id.hex())
    yield _field("ID", span.span_id.hex())
    yield _field("Name", span.name)
    yield _field("Kind", _word(KINDS, span.kind))
    if span.trace_state:
        yield _field("TraceState", span.trace_state)
    yield _field("Start time", _time(span.start_time_unix_nano))
    yield _field("End time", _time(span.end_time_unix_nano))
    yield _field("Status code", _word(STATUS_CODES, span.status.code))
    yield _field("Status message", span.status.message)
    yield _field("DroppedAttributesCount", str(span.dropped_attributes_count))
    yield _field("DroppedEventsCount", str(span.dropped_events_count))
    yield _field("DroppedLinksCount", str(span.dropped_links_count))
    yield from _attributes("Attributes", span.attributes)
    yield from _event_lines(span.events)
    yield from _link_lines(span.links)


def _event_lines(events: Iterable[Span.Event]) -> Iterator[str]:
    for index, event in enumerate(events):
        if index == 0:
            yield "Events:"
        yield f"SpanEvent #{index}"
        yield f"     -> Name: {event.name}"
        yield f"     -> Timestamp: {_time(event.time_unix_nano)}"
        yield f"     -> DroppedAttributesCount: {event.dropped_attributes_count}"
        yield from _attributes("     -> Attributes:", event.attributes)


def _link_lines(links: Iterable[Span.Link]) -> Iterator[str]:
    for index, link in enumerate(links):
        if index == 0:
            yield "Links:"
        yield f"SpanLink #{index}"
        yield f"     -> Trace ID: {link.trace_id.hex()}"
        yield f"     -> ID: {link.span_id.hex()}"
        yield f"     -> TraceState: {link.trace_state}"
        yield f"     -> DroppedAttributesCount: {link.dropped_attributes_count}"
        yield from _attributes("     -> Attributes:", link.attributes)


def _attributes(header: str, attributes: Iterable[KeyValue]) -> Iterator[str]:
    indent = "     " if header.startswith(" ") else ""
    for index, one in enumerate(attributes):
        if index == 0:
            yield f"{header}:"
        yield f"{indent}     -> {one.key}: {_typed(one.value)}"


def _field(name: str, text: str) -> str:
    return f"    {name:<15}: {text}"


def _typed(value: AnyValue) -> str:
    kind = value.WhichOneof("value")
    if kind is None:
        return "Empty()"
    return f"{VALUE_NAMES.get(kind, kind)}({text_of_value(value)})"


def _plain(value: AnyValue) -> object:
    match value.WhichOneof("value"):
        case "array_value":
            return [_plain(one) for one in value.array_value.values]
        case "kvlist_value":
            return {one.key: _plain(one.value) for one in value.kvlist_value.values}
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case "double_value" if not math.isfinite(value.double_value):
            return str(value.double_value)
        case None:
            return None
        case str() as kind:
            return getattr(value, kind)


def _word(words: tuple[str, ...], number: int) -> str:
    return words[number] if 0 <= number < len(words) else str(number)


def _time(unix_ns: int) -> str:
    seconds, fraction_ns = divmod(unix_ns, 1_000_000_000)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError):
        return f"{unix_ns} ns"
    fraction = f".{fraction_ns:09d}".rstrip("0") if fraction_ns else ""
    return f"{moment:%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC"
