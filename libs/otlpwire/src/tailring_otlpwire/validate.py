"""Whether a request is one that the rest of this package accepts, and its items.

Spans are read with the scanner that split and group use, so that what this lets
through they do not refuse: as deep as the span and its status, not into attributes,
events and links. Log records and data points are looked into as far as OTLP knows
(see the shapes): what routes them may lie anywhere in them.
"""

from typing import Final

from mypy_extensions import i64

from tailring_otlpwire.fields import BODY, RESOURCE_SPANS, Fields
from tailring_otlpwire.kinds import LOGS, METRICS, TRACES, check_kind
from tailring_otlpwire.metric import MetricScan
from tailring_otlpwire.shapes import LOGS_REQUEST, METRICS_REQUEST, check
from tailring_otlpwire.span import SpanScan

_RESOURCES: Final = RESOURCE_SPANS


def validate(buf: bytes, kind: int = TRACES) -> int:
    """Return the number of items in a request: spans, log records or data points.

    Raises WireError for whatever the other functions of this package would refuse,
    ValueError for a kind that does not exist. Linear in the bytes, constant memory.
    """
    check_kind(kind)
    if kind == TRACES:
        return _validate_traces(buf)
    check(buf, 0, len(buf), LOGS_REQUEST if kind == LOGS else METRICS_REQUEST, 0)
    return count(buf, kind)


def _validate_traces(buf: bytes) -> i64:
    spans: i64 = 0
    scan = SpanScan()
    request = Fields(buf, 0, len(buf), 0)
    while request.next():
        if request.tag == _RESOURCES:
            spans += _validate_resource(buf, request.body, request.pos, scan)
    return spans


def _validate_resource(buf: bytes, pos: i64, end: i64, scan: SpanScan) -> i64:
    spans: i64 = 0
    fields = Fields(buf, pos, end, 1)
    while fields.next():
        if fields.tag == BODY:
            spans += _validate_scope(buf, fields.body, fields.pos, scan)
    return spans


def _validate_scope(buf: bytes, pos: i64, end: i64, scan: SpanScan) -> i64:
    spans: i64 = 0
    fields = Fields(buf, pos, end, 2)
    while fields.next():
        if fields.tag == BODY:
            scan.read(buf, fields.body, fields.pos)
            spans += 1
    return spans


def count(buf: bytes, kind: int = TRACES) -> int:
    """Return the number of items in a request without looking into them.

    Raises WireError for a structure that is broken above the items, ValueError for a
    kind that does not exist.
    """
    check_kind(kind)
    items: i64 = 0
    request = Fields(buf, 0, len(buf), 0)
    while request.next():
        if request.tag == _RESOURCES:
            items += count_in_resource(buf, request.body, request.pos, kind)
    return items


def count_spans(buf: bytes) -> int:
    """Return the number of spans in a request of traces, as `count` does."""
    return count(buf, TRACES)


def count_in_resource(buf: bytes, pos: i64, end: i64, kind: i64) -> i64:
    """Return the number of items in a resource of a request."""
    items: i64 = 0
    fields = Fields(buf, pos, end, 1)
    while fields.next():
        if fields.tag == BODY:
            items += count_items(buf, fields.body, fields.pos, kind)
    return items


def count_items(buf: bytes, pos: i64, end: i64, kind: i64) -> i64:
    """Return the number of items in a scope of a request."""
    if kind == METRICS:
        return count_points(buf, pos, end)
    return count_in_scope(buf, pos, end)


def count_in_scope(buf: bytes, pos: i64, end: i64) -> i64:
    """Return the number of items in a scope of spans or of log records.

    `Piece.spans` is one without its header.
    """
    items: i64 = 0
    fields = Fields(buf, pos, end, 2)
    while fields.next():
        if fields.tag == BODY:
            items += 1
    return items


def count_points(buf: bytes, pos: i64, end: i64) -> i64:
    """Return the number of data points in a ScopeMetrics."""
    points: i64 = 0
    scan = MetricScan()
    fields = Fields(buf, pos, end, 2)
    while fields.next():
        if fields.tag == BODY:
            scan.read(buf, fields.body, fields.pos)
            points += scan.points
    return points
