"""Telling a message's header from its body, both verbatim.

The body of a request is its resources, that of a ResourceSpans its scopes, that of a
ScopeSpans its spans: each a repeated field. The header is every other field: resource
or scope, schema URL, and whatever this version of OTLP does not know.
"""

from mypy_extensions import i64

from tailring_otlpwire.fields import BODY, RESOURCE_SPANS, Fields
from tailring_otlpwire.fragments import Fragments


def header(buf: bytes, pos: i64, end: i64, nesting: i64) -> bytes:
    """Return the header of the message in buf[pos:end]; raises WireError.

    `nesting` is 0 for a request, 1 for a ResourceSpans, 2 for a ScopeSpans.
    """
    body: i64 = RESOURCE_SPANS if nesting == 0 else BODY
    fields = Fields(buf, pos, end, nesting)
    found = Fragments()
    start = pos
    while fields.next():
        if fields.tag == body:
            if fields.at > start:
                found.add(buf[start : fields.at])
            start = fields.pos
    if end > start:
        found.add(buf[start:end])
    return found.value()


def span_fields(buf: bytes, pos: i64, end: i64) -> bytes:
    """Return the `spans` fields of the ScopeSpans in buf[pos:end], concatenated."""
    fields = Fields(buf, pos, end, 2)
    found = Fragments()
    start = pos
    while fields.next():
        if fields.tag != BODY:
            if fields.at > start:
                found.add(buf[start : fields.at])
            start = fields.pos
    if end > start:
        found.add(buf[start:end])
    return found.value()
