"""Items as they were sent before OTLP 0.15, brought to where they are sent today.

Spans stood in field 1000 of a ResourceSpans (instrumentation_library_spans), in
messages of the same shape as today's ScopeSpans; log records and metrics did the same.
The rule, which is the Collector's for all three: they count when there are no
scope_spans beside them, and are dropped otherwise, because senders of the time of
change sent both.

Only the fields of each ResourceSpans are looked at, nothing inside them.
"""

from mypy_extensions import i64

from tailring_otlpwire.fields import BODY, RESOURCE_SPANS, Fields, varint

DEPRECATED_SCOPES = 0x1F42  # field 1000, wire type 2

_RESOURCE_SPANS_TAG = b"\x0a"
_BODY_TAG = b"\x12"


def modernised(buf: bytes) -> bytes:
    """Return the request with today's fields only; `buf` itself when it is so already.

    Raises WireError for a structure that is broken above the scopes.
    """
    request = Fields(buf, 0, len(buf), 0)
    while request.next():
        if request.tag == RESOURCE_SPANS and _is_old(buf, request.body, request.pos):
            return _rewritten(buf)
    return buf


def _is_old(buf: bytes, pos: i64, end: i64) -> bool:
    fields = Fields(buf, pos, end, 1)
    while fields.next():
        if fields.tag == DEPRECATED_SCOPES:
            return True
    return False


def _rewritten(buf: bytes) -> bytes:
    out: list[bytes] = []
    request = Fields(buf, 0, len(buf), 0)
    while request.next():
        if request.tag == RESOURCE_SPANS:
            resource = _resource(buf, request.body, request.pos)
            out.append(_RESOURCE_SPANS_TAG + varint(len(resource)) + resource)
        else:
            out.append(buf[request.at : request.pos])
    return b"".join(out)


def _resource(buf: bytes, pos: i64, end: i64) -> bytes:
    kept: list[bytes] = []
    old: list[bytes] = []
    scoped = False
    fields = Fields(buf, pos, end, 1)
    while fields.next():
        if fields.tag == DEPRECATED_SCOPES:
            scope = buf[fields.body : fields.pos]
            old.append(_BODY_TAG + varint(len(scope)) + scope)
        else:
            scoped = scoped or fields.tag == BODY
            kept.append(buf[fields.at : fields.pos])
    return b"".join(kept if scoped else kept + old)
