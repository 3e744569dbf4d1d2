"""Keys out of identities: of the resource, or of the stream that a point belongs to.

A stream is what one time series is made of: resource, scope, metric and the attributes
of the point. Neither schema URLs nor descriptions are part of it.
"""

from typing import Final

from mypy_extensions import i64

from tailring_otlpwire.budget import Budget
from tailring_otlpwire.fields import Fields, read_int64
from tailring_otlpwire.identity import AttributeHash, Identity
from tailring_otlpwire.keys import (
    RESOURCE_ATTRIBUTE,
    RESOURCE_NESTING,
    SCOPE_ATTRIBUTE,
    SCOPE_NESTING,
    Keys,
    heads,
)
from tailring_otlpwire.metric import (
    DATA_NESTING,
    EXPONENTIAL,
    GAUGE,
    HISTOGRAM,
    METRIC_NESTING,
    POINT_NESTING,
    SUM,
    SUMMARY,
    MetricScan,
    point_attribute_tag,
)

_NAME: Final = 0x0A  # of a scope and of a metric
_VERSION: Final = 0x12  # of a scope
_UNIT: Final = 0x1A  # of a metric
_TEMPORALITY: Final = 0x10
_MONOTONIC: Final = 0x18  # of a sum

_TYPES: Final = {GAUGE: 1, SUM: 2, HISTOGRAM: 3, EXPONENTIAL: 4, SUMMARY: 5}


class ResourceKeys(Keys):
    """`resource/` and the identity of the resource."""

    def __init__(self, buf: bytes, budget: Budget) -> None:
        super().__init__(buf, budget)
        self.attributes = AttributeHash(budget)

    def identity(self, pos: i64, end: i64) -> Identity:
        """Return the identity of the resource in [pos, end)."""
        for start, stop in heads(self.buf, pos, end, 1):
            self.attributes.read(
                self.buf, start, stop, RESOURCE_ATTRIBUTE, RESOURCE_NESTING
            )
        found = Identity()
        found.add(self.attributes.value())
        return found

    def resource(self, pos: i64, end: i64) -> bytes | None:
        """Return the key of the resource in [pos, end)."""
        return b"resource/" + self.identity(pos, end).text()


class StreamKeys(ResourceKeys):
    """`stream/` and the identity of the stream, each hash going on from the last."""

    def __init__(self, buf: bytes, budget: Budget) -> None:
        super().__init__(buf, budget)
        self.of_resource = Identity()
        self.of_scope = Identity()
        self.of_metric = Identity()
        self.of_stream = Identity()
        self.tag: i64 = 0

    def resource(self, pos: i64, end: i64) -> bytes | None:
        """Take in the resource."""
        self.of_resource = self.identity(pos, end)
        return None

    def scope(self, pos: i64, end: i64) -> bytes | None:
        """Take in the scope."""
        buf = self.buf
        name = b""
        version = b""
        for start, stop in heads(buf, pos, end, 2):
            fields = Fields(buf, start, stop, SCOPE_NESTING)
            while fields.next():
                if fields.tag == SCOPE_ATTRIBUTE:
                    self.attributes.add(buf, fields)
                elif fields.tag == _NAME:
                    name = buf[fields.body : fields.pos]
                elif fields.tag == _VERSION:
                    version = buf[fields.body : fields.pos]
        self.of_scope.go_on_from(self.of_resource)
        self.of_scope.add(name + version + self.attributes.value())
        return None

    def metric(self, pos: i64, end: i64, scan: MetricScan) -> bytes | None:
        """Take in the metric."""
        buf = self.buf
        name = b""
        unit = b""
        fields = Fields(buf, pos, end, METRIC_NESTING)
        while fields.next():
            if fields.tag == _NAME:
                name = buf[fields.body : fields.pos]
            elif fields.tag == _UNIT:
                unit = buf[fields.body : fields.pos]
        self.of_metric.go_on_from(self.of_scope)
        self.of_metric.add(name + unit + _sort_of(buf, scan))
        self.tag = point_attribute_tag(scan.tag)
        return None

    def item(self, pos: i64, end: i64) -> bytes:
        """Return the key of the point in [pos, end)."""
        self.attributes.read(self.buf, pos, end, self.tag, POINT_NESTING)
        self.of_stream.go_on_from(self.of_metric)
        self.of_stream.add(self.attributes.value())
        return b"stream/" + self.of_stream.text()


def _sort_of(buf: bytes, scan: MetricScan) -> bytes:
    """Type, monotonicity and temporality, a byte each."""
    monotonic = scan.tag in (HISTOGRAM, EXPONENTIAL)
    temporality: i64 = 0
    fields = Fields(buf, scan.pos, scan.end, DATA_NESTING)
    while fields.next():
        if fields.tag == _TEMPORALITY and scan.tag not in (GAUGE, SUMMARY):
            temporality, _ = read_int64(buf, fields.body, fields.pos)
        elif fields.tag == _MONOTONIC and scan.tag == SUM:
            number, _ = read_int64(buf, fields.body, fields.pos)
            monotonic = number != 0
    return bytes((_TYPES[scan.tag], int(monotonic), int(temporality & 0xFF)))
