"""Whether a request is one that the rest of this package accepts.

One pass over the same structure as split and group, with the same scanner of spans, so
that what this lets through they do not refuse.
"""

from mypy_extensions import i64

from tailring_otlpwire.fields import BODY, RESOURCE_SPANS, Fields
from tailring_otlpwire.span import SpanScan


def validate(buf: bytes) -> int:
    """Return the number of spans in a request.

    Raises WireError for whatever split, group, join_requests and chunk would refuse;
    linear in the bytes, constant memory.
    """
    spans: i64 = 0
    scan = SpanScan()
    request = Fields(buf, 0, len(buf), 0)
    while request.next():
        if request.tag == RESOURCE_SPANS:
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


def count_spans(buf: bytes) -> int:
    """Return the number of spans in a request without looking into the spans.

    Raises WireError for a structure that is broken above the spans.
    """
    spans: i64 = 0
    request = Fields(buf, 0, len(buf), 0)
    while request.next():
        if request.tag == RESOURCE_SPANS:
            spans += _count_in_resource(buf, request.body, request.pos)
    return spans


def _count_in_resource(buf: bytes, pos: i64, end: i64) -> i64:
    spans: i64 = 0
    fields = Fields(buf, pos, end, 1)
    while fields.next():
        if fields.tag == BODY:
            spans += count_in_scope(buf, fields.body, fields.pos)
    return spans


def count_in_scope(buf: bytes, pos: i64, end: i64) -> i64:
    """Return the number of `spans` fields in a ScopeSpans, or in `Piece.spans`."""
    spans: i64 = 0
    fields = Fields(buf, pos, end, 2)
    while fields.next():
        if fields.tag == BODY:
            spans += 1
    return spans
