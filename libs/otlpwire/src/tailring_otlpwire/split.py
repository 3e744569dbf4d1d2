"""Cutting a request into one request per owner of its traces.

The owner of a span is table[crc32(trace id) % len(table)], which is the look-up in the
expanded hash ring. Spans are copied as ranges of the source; a run of neighbouring
spans with one owner is one copy; a request whose spans all have one owner is not copied
at all.
"""

from collections.abc import Callable
from zlib import crc32

from mypy_extensions import i64, mypyc_attr

from tailring_otlpwire.builder import (
    COPIES_BYTES_MAX,
    RequestBuilder,
    check_copies,
)
from tailring_otlpwire.fields import BODY, RESOURCE_SPANS, Fields
from tailring_otlpwire.header import header
from tailring_otlpwire.span import SpanScan, same_id


@mypyc_attr(acyclic=True)
class Part:
    """The items of one owner as a request of their own."""

    def __init__(self, owner: int, payload: bytes, items: int) -> None:
        self.owner = owner
        self.payload = payload
        self.items = items

    @property
    def spans(self) -> int:
        """The number of items of a request of traces."""
        return self.items


def split(
    buf: bytes, table: list[int], *, copies_bytes_max: int = COPIES_BYTES_MAX
) -> list[Part]:
    """Return one part per owner that has spans, in the order of their first spans.

    Spans keep their order, resources and scopes theirs; headers are repeated verbatim
    in every part that has spans below them. A resource or scope without spans vanishes,
    a request without spans gives no part. Unknown fields of the request itself go with
    the first part. With a single owner the payload is `buf` itself.

    Owners are small numbers, the indexes of members.

    Linear in the bytes of `buf` and of the parts. A header is copied once per owner
    that has spans below it, so all parts together are at most len(buf) * owners, and
    at most len(buf) + `copies_bytes_max` and some framing: WireError beyond. Raises
    WireError for malformed bytes too, ValueError for a table without owners.
    """
    if not table:
        raise ValueError("the table of owners is empty")
    return _Splitter(buf, table, copies_bytes_max).run()


class _Splitter:
    def __init__(self, buf: bytes, table: list[int], copies_bytes_max: i64) -> None:
        self.buf = buf
        self.table = table
        self.positions: i64 = len(table)
        self.copies_left_bytes: i64 = copies_bytes_max
        self.scan = SpanScan()
        self.checksum: Callable[[bytes], int] = crc32
        self.by_owner: list[RequestBuilder | None] = []
        self.builders: list[RequestBuilder] = []
        self.in_resource: list[RequestBuilder] = []
        self.in_scope: list[RequestBuilder] = []
        self.last_id: i64 = -1
        self.last: RequestBuilder | None = None

    def run(self) -> list[Part]:
        buf = self.buf
        request = Fields(buf, 0, len(buf), 0)
        while request.next():
            if request.tag == RESOURCE_SPANS:
                self.resource(request.body, request.pos)
        builders = self.builders
        if len(builders) == 1:
            return [Part(builders[0].owner, buf, builders[0].items)]
        if builders:
            builders[0].add_unknown(header(buf, 0, len(buf), 0))
        return [Part(each.owner, each.payload(), each.items) for each in builders]

    def resource(self, pos: i64, end: i64) -> None:
        fields = Fields(self.buf, pos, end, 1)
        while fields.next():
            if fields.tag == BODY:
                self.scope(fields.body, fields.pos)
        if self.in_resource:
            head = header(self.buf, pos, end, 1)
            self.count_copies(head, len(self.in_resource))
            for builder in self.in_resource:
                builder.close_resource(head)
            self.in_resource = []

    def scope(self, pos: i64, end: i64) -> None:
        buf = self.buf
        scan = self.scan
        fields = Fields(buf, pos, end, 2)
        while fields.next():
            if fields.tag == BODY:
                scan.read(buf, fields.body, fields.pos)
                last = self.last
                if last is None or not same_id(buf, scan.trace_id, self.last_id):
                    last = self.owner_of(scan.id_in(buf))
                    self.last = last
                    self.last_id = scan.trace_id
                if not last.scope_open:
                    self.open(last)
                last.add(fields.at, fields.pos)
        if self.in_scope:
            head = header(buf, pos, end, 2)
            self.count_copies(head, len(self.in_scope))
            for builder in self.in_scope:
                builder.close_scope(head)
            self.in_scope = []

    def owner_of(self, trace_id: bytes) -> RequestBuilder:
        position: i64 = self.checksum(trace_id) % self.positions
        owner: i64 = self.table[position]
        builder: RequestBuilder | None = None
        if 0 <= owner < len(self.by_owner):
            builder = self.by_owner[owner]
        if builder is None:
            builder = self.new_builder(owner)
        return builder

    def new_builder(self, owner: i64) -> RequestBuilder:
        if owner < 0:
            raise ValueError("an owner in the table is negative")
        while len(self.by_owner) <= owner:
            self.by_owner.append(None)
        builder = RequestBuilder(self.buf, owner)
        self.by_owner[owner] = builder
        self.builders.append(builder)
        return builder

    def open(self, builder: RequestBuilder) -> None:
        if not builder.resource_open:
            builder.resource_open = True
            self.in_resource.append(builder)
        builder.scope_open = True
        self.in_scope.append(builder)

    def count_copies(self, head: bytes, times: i64) -> None:
        self.copies_left_bytes -= len(head) * (times - 1)
        check_copies(self.copies_left_bytes)
