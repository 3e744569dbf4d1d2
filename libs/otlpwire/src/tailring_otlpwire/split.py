"""Cutting a request of traces into one request per owner of its traces.

Spans are copied as ranges of the source; a run of neighbouring spans with one owner is
one copy; a request whose spans all have one owner is not copied at all.
"""

from mypy_extensions import i64

from tailring_otlpwire.budget import COPIES_BYTES_MAX
from tailring_otlpwire.builder import RequestBuilder
from tailring_otlpwire.fields import BODY, RESOURCE_SPANS, Fields
from tailring_otlpwire.owners import Owners, Part
from tailring_otlpwire.span import SpanScan, same_id


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
    return _Splitter(buf, table, copies_bytes_max).run()


class _Splitter(Owners):
    def __init__(self, buf: bytes, table: list[int], copies_bytes_max: int) -> None:
        super().__init__(buf, table, copies_bytes_max)
        self.scan = SpanScan()
        self.last_id: i64 = -1
        self.last: RequestBuilder | None = None

    def run(self) -> list[Part]:
        buf = self.buf
        request = Fields(buf, 0, len(buf), 0)
        while request.next():
            if request.tag == RESOURCE_SPANS:
                self.resource(request.body, request.pos)
        return self.parts(True)

    def resource(self, pos: i64, end: i64) -> None:
        fields = Fields(self.buf, pos, end, 1)
        while fields.next():
            if fields.tag == BODY:
                self.scope(fields.body, fields.pos)
        self.close_resource(pos, end)

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
        self.close_scope(pos, end)
