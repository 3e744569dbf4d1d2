"""Logs as text: a line for each record, or all of it, laid out as upstream."""

from __future__ import annotations

from collections.abc import Iterator

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from tailring_pipeline.debug_values import (
    attribute_lines,
    heading,
    pairs,
    resource_lines,
    scope_heading,
    scope_lines,
    text_of_value,
    time_text,
    typed,
    word,
)

__all__ = ["detailed_lines", "normal_lines"]

SEVERITIES = (
    "Unspecified",
    *(
        f"{name}{number}"
        for name in ("Trace", "Debug", "Info", "Warn", "Error", "Fatal")
        for number in ("", "2", "3", "4")
    ),
)


def normal_lines(request: ExportLogsServiceRequest) -> Iterator[str]:
    """A line for each resource, scope and record, attributes behind it."""
    for index, part in enumerate(request.resource_logs):
        yield heading(
            "ResourceLog", index, schema_url=part.schema_url, resource=part.resource
        )
        for scope_index, scope in enumerate(part.scope_logs):
            yield scope_heading(
                "ScopeLog", scope_index, schema_url=scope.schema_url, scope=scope.scope
            )
            for record in scope.log_records:
                yield text_of_value(record.body) + (pairs(record.attributes) or " ")


def detailed_lines(request: ExportLogsServiceRequest) -> Iterator[str]:
    """Every field of every record."""
    for index, part in enumerate(request.resource_logs):
        yield from resource_lines(
            "ResourceLog", index, schema_url=part.schema_url, resource=part.resource
        )
        for scope_index, scope in enumerate(part.scope_logs):
            yield from scope_lines(
                "ScopeLogs", scope_index, schema_url=scope.schema_url, scope=scope.scope
            )
            for record_index, record in enumerate(scope.log_records):
                yield f"LogRecord #{record_index}"
                yield from _record_lines(record)


def _record_lines(record: LogRecord) -> Iterator[str]:
    severity = word(SEVERITIES, record.severity_number, other="")
    yield f"ObservedTimestamp: {time_text(record.observed_time_unix_nano)}"
    yield f"Timestamp: {time_text(record.time_unix_nano)}"
    yield f"SeverityText: {record.severity_text}"
    yield f"SeverityNumber: {severity}({record.severity_number})"
    if record.event_name:
        yield f"EventName: {record.event_name}"
    yield f"Body: {typed(record.body)}"
    yield from attribute_lines("Attributes", record.attributes)
    yield f"Trace ID: {record.trace_id.hex()}"
    yield f"Span ID: {record.span_id.hex()}"
    yield f"Flags: {record.flags}"
