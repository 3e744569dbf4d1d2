"""A metric: where its data points are, and its headers.

A Metric has its points in one of five messages (gauge, sum, histogram, exponential
histogram, summary), which are a oneof: of several the last one counts, whole, as in
the Collector. (Protobuf's decoders merge two that follow each other if they are of one
kind. No library writes two.) In all five the points are field 1.

The *header* of a metric is every field but those five: name, description, unit,
metadata and what is unknown. The header of the data is every field but the points:
temporality, monotonicity and what is unknown.
"""

from typing import Final

from mypy_extensions import i64, mypyc_attr

from tailring_otlpwire.builder import MetricHeads
from tailring_otlpwire.fields import Fields, varint
from tailring_otlpwire.fragments import Fragments

POINT: Final = 0x0A

GAUGE: Final = 0x2A
SUM: Final = 0x3A
HISTOGRAM: Final = 0x4A
EXPONENTIAL: Final = 0x52
SUMMARY: Final = 0x5A

METRIC_NESTING: Final = 3  # request, ResourceMetrics, ScopeMetrics around it
DATA_NESTING: Final = 4
POINT_NESTING: Final = 5


_NUMBER_ATTRIBUTE: Final = 0x3A  # of a summary's points too
_HISTOGRAM_ATTRIBUTE: Final = 0x4A
_EXPONENTIAL_ATTRIBUTE: Final = 0x0A


def point_attribute_tag(data_tag: i64) -> i64:
    """Return the tag of the attributes of points, which differs by what holds them."""
    if data_tag == HISTOGRAM:
        return _HISTOGRAM_ATTRIBUTE
    return _EXPONENTIAL_ATTRIBUTE if data_tag == EXPONENTIAL else _NUMBER_ATTRIBUTE


def is_data(tag: i64) -> bool:
    """Whether a field of a metric is one of the five that hold points."""
    return tag in (GAUGE, SUM, HISTOGRAM, EXPONENTIAL, SUMMARY)


@mypyc_attr(acyclic=True)
class MetricScan:
    """Where the data of the metric last read lies; `tag` is 0 without any."""

    def __init__(self) -> None:
        self.tag: i64 = 0
        self.pos: i64 = 0
        self.end: i64 = 0
        self.points: i64 = 0

    def read(self, buf: bytes, pos: i64, end: i64) -> None:
        """Find the data of the metric in buf[pos:end] and count it.

        Raises WireError.
        """
        self.tag = 0
        self.points = 0
        fields = Fields(buf, pos, end, METRIC_NESTING)
        while fields.next():
            if is_data(fields.tag):
                self.tag = fields.tag
                self.pos = fields.body
                self.end = fields.pos
        if self.tag:
            data = Fields(buf, self.pos, self.end, DATA_NESTING)
            while data.next():
                if data.tag == POINT:
                    self.points += 1


def metric_heads(buf: bytes, scan: MetricScan, pos: i64, end: i64) -> MetricHeads:
    """Return the headers of the metric in buf[pos:end], of which `scan` was read."""
    metric = Fragments()
    fields = Fields(buf, pos, end, METRIC_NESTING)
    while fields.next():
        if not is_data(fields.tag):
            metric.add(buf[fields.at : fields.pos])
    data = Fragments()
    fields = Fields(buf, scan.pos, scan.end, DATA_NESTING)
    while fields.next():
        if fields.tag != POINT:
            data.add(buf[fields.at : fields.pos])
    return MetricHeads(metric.value(), varint(scan.tag), data.value())
