"""Traces as text: a line for each span, or all of it, laid out as upstream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tailring_pipeline.debug_values import (
    attribute_lines,
    pairs,
    time_text,
    word,
)
from tailring_pipeline.debug_walk import (
    Fields,
    Names,
    lines_in_full,
    lines_in_short,
)

__all__ = ["detailed_lines", "normal_lines"]

FIELDS = Fields("resource_spans", "scope_spans", "spans")
KINDS = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
STATUS_CODES = ("Unset", "Ok", "Error")


def normal_lines(request: ExportTraceServiceRequest) -> Iterator[str]:
    """A line for each resource, scope and span, attributes behind it."""
    names = Names("ResourceTraces", "ScopeTraces")
    return lines_in_short(request, FIELDS, names=names, item=_span_line)


def detailed_lines(request: ExportTraceServiceRequest) -> Iterator[str]:
    """Every field of every span."""
    names = Names("ResourceSpans", "ScopeSpans", "Span")
    return lines_in_full(request, FIELDS, names=names, item=_span_lines)


def _span_line(span: Span) -> Iterator[str]:
    ids = f"{span.trace_id.hex()} {span.span_id.hex()}"
    yield f"{span.name} {ids}{pairs(span.attributes)}"


def _span_lines(span: Span) -> Iterator[str]:
    yield _field("Trace ID", span.trace_id.hex())
    yield _field("Parent ID", span.parent_span_id.hex())
    yield _field("ID", span.span_id.hex())
    yield _field("Name", span.name)
    yield _field("Kind", word(KINDS, span.kind))
    if span.trace_state:
        yield _field("TraceState", span.trace_state)
    yield _field("Start time", time_text(span.start_time_unix_nano))
    yield _field("End time", time_text(span.end_time_unix_nano))
    yield _field("Status code", word(STATUS_CODES, span.status.code))
    yield _field("Status message", span.status.message)
    yield _field("DroppedAttributesCount", str(span.dropped_attributes_count))
    yield _field("DroppedEventsCount", str(span.dropped_events_count))
    yield _field("DroppedLinksCount", str(span.dropped_links_count))
    yield from attribute_lines("Attributes", span.attributes)
    yield from _event_lines(span.events)
    yield from _link_lines(span.links)


def _event_lines(events: Iterable[Span.Event]) -> Iterator[str]:
    for index, event in enumerate(events):
        if index == 0:
            yield "Events:"
        yield f"SpanEvent #{index}"
        yield f"     -> Name: {event.name}"
        yield f"     -> Timestamp: {time_text(event.time_unix_nano)}"
        yield f"     -> DroppedAttributesCount: {event.dropped_attributes_count}"
        yield from attribute_lines("     -> Attributes:", event.attributes)


def _link_lines(links: Iterable[Span.Link]) -> Iterator[str]:
    for index, link in enumerate(links):
        if index == 0:
            yield "Links:"
        yield f"SpanLink #{index}"
        yield f"     -> Trace ID: {link.trace_id.hex()}"
        yield f"     -> ID: {link.span_id.hex()}"
        yield f"     -> TraceState: {link.trace_state}"
        yield f"     -> DroppedAttributesCount: {link.dropped_attributes_count}"
        yield from attribute_lines("     -> Attributes:", link.attributes)


def _field(name: str, text: str) -> str:
    return f"    {name:<15}: {text}"
