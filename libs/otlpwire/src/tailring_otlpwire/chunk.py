"""Cutting a request into requests of a bounded number of items, in order."""

from mypy_extensions import i64

from tailring_otlpwire.budget import COPIES_BYTES_MAX, Budget
from tailring_otlpwire.builder import RequestBuilder
from tailring_otlpwire.fields import BODY, RESOURCE_SPANS, Fields
from tailring_otlpwire.header import header
from tailring_otlpwire.kinds import METRICS, TRACES
from tailring_otlpwire.metric import DATA_NESTING, POINT, MetricScan, metric_heads
from tailring_otlpwire.validate import count


def chunk(
    buf: bytes,
    items_max: int,
    kind: int = TRACES,
    *,
    copies_bytes_max: int = COPIES_BYTES_MAX,
) -> list[bytes]:
    """Return requests of `items_max` items each, the last of what is left.

    Items are spans, log records or data points. A request that is small enough is
    returned as it is, one without items gives none. Resources, scopes and metrics that
    are cut are repeated with their headers (a metric with its metadata, temporality and
    unknown fields); resources and scopes without anything below them vanish; unknown
    fields of the request itself go with the last chunk.

    Linear in the bytes of `buf` and of the chunks. All chunks together are at most
    len(buf) plus the headers around each of the cuts; WireError when those exceed
    `copies_bytes_max`. Raises WireError for bytes that are malformed above the items,
    ValueError for an `items_max` below 1 and a kind that does not exist.
    """
    if items_max < 1:
        raise ValueError("items_max must be at least 1")
    items = count(buf, kind)
    if items == 0:
        return []
    if items <= items_max:
        return [buf]
    return _Chunker(buf, items_max, kind, copies_bytes_max).run()


class _Chunker:
    def __init__(
        self, buf: bytes, items_max: i64, kind: i64, copies_bytes_max: i64
    ) -> None:
        self.buf = buf
        self.items_max: i64 = items_max
        self.kind: i64 = kind
        self.budget = Budget(copies_bytes_max)
        self.scan = MetricScan()
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
            if self.kind == METRICS:
                self.metric(resource, head, fields)
                continue
            self.make_room(resource, head)
            self.builder.add(fields.at, fields.pos)
        if self.builder.scope_open:
            self.builder.close_scope(head)

    def make_room(self, resource: bytes, scope: bytes) -> None:
        """Have an open scope in a builder that is not full."""
        if self.builder.items == self.items_max:
            self.cut(resource, scope)
        self.builder.resource_open = True
        self.builder.scope_open = True

    def metric(self, resource: bytes, scope: bytes, field: Fields) -> None:
        scan = self.scan
        scan.read(self.buf, field.body, field.pos)
        if scan.points:
            self.make_room(resource, scope)
        if self.builder.items + scan.points <= self.items_max:
            self.builder.resource_open = True
            self.builder.scope_open = True
            self.builder.add_several(field.at, field.pos, scan.points)
            return
        heads = metric_heads(self.buf, scan, field.body, field.pos)
        points = Fields(self.buf, scan.pos, scan.end, DATA_NESTING)
        while points.next():
            if points.tag != POINT:
                continue
            if self.builder.items == self.items_max:
                self.builder.close_metric(heads)
                self.budget.charge(heads.size)
                self.make_room(resource, scope)
            self.builder.add_point(points.at, points.pos)
        self.builder.close_metric(heads)

    def cut(self, resource: bytes, scope: bytes) -> None:
        if self.builder.scope_open:
            self.builder.close_scope(scope)
            self.budget.charge(len(scope))
        if self.builder.resource_open:
            self.builder.close_resource(resource)
            self.budget.charge(len(resource))
        self.chunks.append(self.builder.payload())
        self.builder = RequestBuilder(self.buf, 0)
