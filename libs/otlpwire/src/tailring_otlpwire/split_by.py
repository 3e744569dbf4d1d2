"""Cutting a request of any kind into one request per owner, by any routing key.

A walk from the outside in: what has one key for everything in it is copied whole, and
only what holds items of different owners is opened, with its headers in each part.
The keys are upstream's (v0.161.0), byte for byte; so are the groups: the spans of one
trace below one scope follow the first of them.
"""

from abc import ABC, abstractmethod
from typing import Final

from mypy_extensions import i64, mypyc_attr

from tailring_otlpwire.budget import COPIES_BYTES_MAX, Budget
from tailring_otlpwire.builder import RequestBuilder
from tailring_otlpwire.fields import BODY, RESOURCE_SPANS, Fields
from tailring_otlpwire.keys import Keys
from tailring_otlpwire.keys_attributes import PointKeys, RecordKeys, SpanKeys
from tailring_otlpwire.keys_identity import ResourceKeys, StreamKeys
from tailring_otlpwire.keys_plain import (
    MetricNameKeys,
    RecordTraceKeys,
    ServiceKeys,
    SpanTraceKeys,
)
from tailring_otlpwire.kinds import LOGS, METRICS, TRACES
from tailring_otlpwire.metric import DATA_NESTING, POINT, MetricScan, metric_heads
from tailring_otlpwire.owners import Owners, Part
from tailring_otlpwire.rule import (
    ATTRIBUTES,
    METRIC,
    RESOURCE,
    SERVICE,
    TRACE_ID,
    RoutingRule,
)
from tailring_otlpwire.span import SpanScan
from tailring_otlpwire.split import split
from tailring_otlpwire.unroutable import unroutable_text
from tailring_otlpwire.validate import count_in_resource, count_items

_RESOURCE: Final = 0
_SCOPE: Final = 1
_ITEM: Final = 2


@mypyc_attr(acyclic=True)
class Split:
    """The parts of a request, and what has no owner.

    `unroutable_items` counts data points whose resource has no service.name, which the
    rule `service` needs; `unroutable` is upstream's error for the first such resource.
    """

    def __init__(self, parts: list[Part], unroutable_items: int, text: str) -> None:
        self.parts = parts
        self.unroutable_items = unroutable_items
        self.unroutable = text


def split_by(
    buf: bytes,
    table: list[int],
    rule: RoutingRule,
    *,
    seed: int = 0,
    copies_bytes_max: int = COPIES_BYTES_MAX,
) -> Split:
    """Return one part per owner that has items, in the order of their first items.

    A part is a request of the rule's kind with exactly its owner's items, in order,
    below verbatim headers: unknown fields survive, and a metric keeps its metadata
    where upstream loses it (points that are routed one by one). Two of upstream's
    losses are ours too: resources, scopes and metrics without items vanish, and of
    several data fields of one metric only the last is kept when it is cut. With a
    single owner the payload is `buf` itself. Unknown fields of the request go with the
    first part.

    `seed` (32 bits, from the caller, because this package owns no randomness) spreads
    log records without a trace id when logs are routed by `traceID`.

    Linear in the bytes of `buf` and of the parts. Bytes that are repeated, in headers
    and in keys, are at most `copies_bytes_max`: WireError beyond, for malformed bytes
    and for a map of more than 100,000 attributes that has to be sorted; ValueError for
    a table without owners.
    """
    if rule.kind == TRACES and rule.key == TRACE_ID:
        return Split(split(buf, table, copies_bytes_max=copies_bytes_max), 0, "")
    splitter = _Splitter(Owners(buf, table, copies_bytes_max), rule, seed)
    splitter.run()
    parts = splitter.owners.parts(whole=not splitter.unroutable_items)
    return Split(parts, splitter.unroutable_items, splitter.unroutable)


def routing_keys(buf: bytes, rule: RoutingRule, *, seed: int = 0) -> list[bytes]:
    """Return the key of each item that has one, in order; for tests and diagnostics.

    Raises WireError as `split_by` does.
    """
    walk = _KeyList(buf, rule, seed)
    walk.run()
    return walk.found


def _keys(buf: bytes, budget: Budget, rule: RoutingRule, seed: int) -> Keys:
    key = rule.key
    if rule.kind == TRACES:
        if key == TRACE_ID:
            return SpanTraceKeys(buf, budget)
        return SpanKeys(buf, budget, rule.names)
    if key == SERVICE:
        return ServiceKeys(buf, budget, required=rule.kind == METRICS)
    if key == RESOURCE:
        return ResourceKeys(buf, budget)
    if rule.kind == LOGS:
        if key == TRACE_ID:
            return RecordTraceKeys(buf, budget, seed)
        return RecordKeys(buf, budget, rule.names)
    if key == ATTRIBUTES:
        return PointKeys(buf, budget, rule.names)
    return MetricNameKeys(buf, budget) if key == METRIC else StreamKeys(buf, budget)


class _Walk(ABC):
    """Goes through a request and hands over what has one key."""

    def __init__(
        self, buf: bytes, budget: Budget, rule: RoutingRule, seed: int
    ) -> None:
        self.buf = buf
        self.kind: i64 = rule.kind
        self.keys = _keys(buf, budget, rule, seed)
        self.span = SpanScan()
        self.scan = MetricScan()
        self.unroutable_items: i64 = 0
        self.unroutable = ""

    def run(self) -> None:
        buf = self.buf
        request = Fields(buf, 0, len(buf), 0)
        while request.next():
            if request.tag == RESOURCE_SPANS:
                self.resource(request)

    def resource(self, field: Fields) -> None:
        key = self.keys.resource(field.body, field.pos)
        if key is not None:
            items = count_in_resource(self.buf, field.body, field.pos, self.kind)
            if self.keys.missing:
                self.leave_out(field, items)
            elif items:
                self.take(_RESOURCE, key, field, items)
            return
        fields = Fields(self.buf, field.body, field.pos, 1)
        while fields.next():
            if fields.tag == BODY:
                self.scope(fields)
        self.end(_RESOURCE, field)

    def leave_out(self, field: Fields, items: i64) -> None:
        self.unroutable_items += items
        if not self.unroutable:
            self.unroutable = unroutable_text(self.buf, field.body, field.pos)

    def scope(self, field: Fields) -> None:
        key = self.keys.scope(field.body, field.pos)
        if key is not None:
            items = count_items(self.buf, field.body, field.pos, self.kind)
            if items:
                self.take(_SCOPE, key, field, items)
            return
        fields = Fields(self.buf, field.body, field.pos, 2)
        if self.kind == TRACES:
            self.spans(fields)
        elif self.kind == LOGS:
            self.records(fields)
        else:
            self.metrics(fields)
        self.end(_SCOPE, field)

    def spans(self, fields: Fields) -> None:
        by_trace: dict[bytes, bytes] = {}
        while fields.next():
            if fields.tag != BODY:
                continue
            self.span.read(self.buf, fields.body, fields.pos)
            trace_id = self.span.id_in(self.buf)
            key = by_trace.get(trace_id)
            if key is None:
                key = self.keys.item(fields.body, fields.pos)
                by_trace[trace_id] = key
            self.take(_ITEM, key, fields, 1)

    def records(self, fields: Fields) -> None:
        while fields.next():
            if fields.tag == BODY:
                self.take(_ITEM, self.keys.item(fields.body, fields.pos), fields, 1)

    def metrics(self, fields: Fields) -> None:
        scan = self.scan
        while fields.next():
            if fields.tag != BODY:
                continue
            scan.read(self.buf, fields.body, fields.pos)
            if not scan.points:
                continue
            key = self.keys.metric(fields.body, fields.pos, scan)
            if key is not None:
                self.take(_ITEM, key, fields, scan.points)
            else:
                self.take_points(fields)

    @abstractmethod
    def take(self, level: i64, key: bytes, field: Fields, items: i64) -> None:
        """Have a whole resource or scope, or a span, a record or a whole metric."""

    @abstractmethod
    def take_points(self, field: Fields) -> None:
        """Have the metric that was scanned, whose points have a key each."""

    @abstractmethod
    def end(self, level: i64, field: Fields) -> None:
        """Know that a resource or scope is over, of which parts may have been taken."""


class _Splitter(_Walk):
    def __init__(self, owners: Owners, rule: RoutingRule, seed: int) -> None:
        super().__init__(owners.buf, owners.budget, rule, seed)
        self.owners = owners

    def take(self, level: i64, key: bytes, field: Fields, items: i64) -> None:
        builder = self.owners.owner_of(key)
        if level == _RESOURCE:
            builder.add_resource(field.at, field.pos, items)
        elif level == _SCOPE:
            self.owners.open_resource(builder)
            builder.add_scope(field.at, field.pos, items)
        else:
            self.owners.open(builder)
            builder.add_several(field.at, field.pos, items)

    def take_points(self, field: Fields) -> None:
        scan = self.scan
        owners: list[RequestBuilder] = []
        several = False
        points = Fields(self.buf, scan.pos, scan.end, DATA_NESTING)
        while points.next():
            if points.tag == POINT:
                key = self.keys.item(points.body, points.pos)
                builder = self.owners.owner_of(key)
                self.owners.open(builder)
                several = several or (bool(owners) and builder is not owners[0])
                owners.append(builder)
        if several:
            self.cut(field, owners)
        else:
            owners[0].add_several(field.at, field.pos, scan.points)

    def cut(self, field: Fields, owners: list[RequestBuilder]) -> None:
        """Give each builder its points of the metric, of which it is one each."""
        scan = self.scan
        heads = metric_heads(self.buf, scan, field.body, field.pos)
        in_metric: list[RequestBuilder] = []
        place: i64 = 0
        points = Fields(self.buf, scan.pos, scan.end, DATA_NESTING)
        while points.next():
            if points.tag != POINT:
                continue
            builder = owners[place]
            place += 1
            if not builder.metric_open:
                builder.metric_open = True
                in_metric.append(builder)
            builder.add_point(points.at, points.pos)
        self.owners.budget.charge(heads.size * (len(in_metric) - 1))
        for builder in in_metric:
            builder.close_metric(heads)

    def end(self, level: i64, field: Fields) -> None:
        if level == _SCOPE:
            self.owners.close_scope(field.body, field.pos)
        else:
            self.owners.close_resource(field.body, field.pos)


class _KeyList(_Walk):
    def __init__(self, buf: bytes, rule: RoutingRule, seed: int) -> None:
        super().__init__(buf, Budget(COPIES_BYTES_MAX), rule, seed)
        self.found: list[bytes] = []

    def take(
        self,
        level: i64,  # noqa: ARG002 -- the signature of the base class
        key: bytes,
        field: Fields,  # noqa: ARG002 -- the same
        items: i64,
    ) -> None:
        self.found += [key] * items

    def take_points(self, field: Fields) -> None:  # noqa: ARG002 -- the same
        points = Fields(self.buf, self.scan.pos, self.scan.end, DATA_NESTING)
        while points.next():
            if points.tag == POINT:
                self.found.append(self.keys.item(points.body, points.pos))

    def end(self, level: i64, field: Fields) -> None:
        """Nothing is open."""
