"""Cutting a request into requests of a bounded number of spans, in order."""

from mypy_extensions import i64

from tailring_otlpwire.builder import (
    COPIES_BYTES_MAX,
    RequestBuilder,
    check_copies,
)
from tailring_otlpwire.fields import BODY, RESOURCE_SPANS, Fields
from tailring_otlpwire.header import header
from tailring_otlpwire.validate import count_spans


def chunk(
    buf: bytes, spans_max: int, *, copies_bytes_max: int = COPIES_BYTES_MAX
) -> list[bytes]:
    """Return requests of `spans_max` spans each, the last of what is left.

    A request that is small enough is returned as it is, one without spans gives none.
    Resources and scopes that are cut are repeated with their headers; those without
    spans vanish; unknown fields of the request itself go with the last chunk.

    Linear in the bytes of `buf` and of the chunks. All chunks together are at most
    len(buf) plus the headers around each of the cuts; WireError when those exceed
    `copies_bytes_max`. Raises WireError for bytes that are malformed above the spans,
    ValueError for a `spans_max` below 1.
    """
    if spans_max < 1:
        raise ValueError("spans_max must be at least 1")
    spans = count_spans(buf)
    if spans == 0:
        return []
    if spans <= spans_max:
        return [buf]
    return _Chunker(buf, spans_max, copies_bytes_max).run()


class _Chunker:
    def __init__(self, buf: bytes, spans_max: i64, copies_bytes_max: i64) -> None:
        self.buf = buf
        self.spans_max: i64 = spans_max
        self.copies_left_bytes: i64 = copies_bytes_max
        self.builder = RequestBuilder(buf, 0)
        self.chunks: list[bytes] = []

    def run(self) -> list[bytes]:
        buf = self.buf
        request = Fields(buf, 0, len(buf), 0)
        while request.next():
            if request.tag == RESOURCE_SPANS:
                self.resource(request.body, request.pos)
        self.builder.add_unknown(header(buf, 0, len(buf), 0))
        self.chunks.append(self.builder.payload())
        return self.chunks

    def resource(self, pos: i64, end: i64) -> None:
        head = header(self.buf, pos, end, 1)
        fields = Fields(self.buf, pos, end, 1)
        while fields.next():
            if fields.tag == BODY:
                self.scope(head, fields.body, fields.pos)
        if self.builder.resource_open:
            self.builder.close_resource(head)

    def scope(self, resource: bytes, pos: i64, end: i64) -> None:
        head = header(self.buf, pos, end, 2)
        fields = Fields(self.buf, pos, end, 2)
        while fields.next():
            if fields.tag != BODY:
                continue
            if self.builder.spans == self.spans_max:
                self.cut(resource, head)
            self.builder.resource_open = True
            self.builder.scope_open = True
            self.builder.add(fields.at, fields.pos)
        if self.builder.scope_open:
            self.builder.close_scope(head)

    def cut(self, resource: bytes, scope: bytes) -> None:
        if self.builder.scope_open:
            self.builder.close_scope(scope)
            self.copies_left_bytes -= len(scope)
        if self.builder.resource_open:
            self.builder.close_resource(resource)
            self.copies_left_bytes -= len(resource)
        check_copies(self.copies_left_bytes)
        self.chunks.append(self.builder.payload())
        self.builder = RequestBuilder(self.buf, 0)
