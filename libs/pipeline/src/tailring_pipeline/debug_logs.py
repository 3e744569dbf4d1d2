"""Logs as text: a line for each record, or all of it, laid out as upstream."""

from __future__ import annotations

from collections.abc import Iterator

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from tailring_pipeline.debug_values import (
    attribute_lines,
    pairs,
    text_of_value,
    time_text,
    typed,
    word,
)
from tailring_pipeline.debug_walk import (
    Fields,
    Names,
    lines_in_full,
    lines_in_short,
)

__all__ = ["detailed_lines", "normal_lines"]

FIELDS = Fields("resource_logs", "scope_logs", "log_records")
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
    names = Names("ResourceLog", "ScopeLog")
    return lines_in_short(request, FIELDS, names=names, item=_record_line)


def detailed_lines(request: ExportLogsServiceRequest) -> Iterator[str]:
    """Every field of every record."""
    names = Names("ResourceLog", "ScopeLogs", "LogRecord")
    return lines_in_full(request, FIELDS, names=names, item=_record_lines)


def _record_line(record: LogRecord) -> Iterator[str]:
    yield text_of_value(record.body) + (pairs(record.attributes) or " ")


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
