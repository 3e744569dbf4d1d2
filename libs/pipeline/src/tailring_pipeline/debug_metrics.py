"""Metrics as text: a line for each data point, or all of it, laid out as upstream."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Exemplar,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    SummaryDataPoint,
)

from tailring_pipeline.debug_values import (
    attribute_lines,
    fixed,
    pairs,
    shortest,
    time_text,
    word,
)
from tailring_pipeline.debug_walk import (
    Fields,
    Names,
    lines_in_full,
    lines_in_short,
)

__all__ = ["count_metrics", "detailed_lines", "normal_lines"]

FIELDS = Fields("resource_metrics", "scope_metrics", "metrics")
Point = (
    NumberDataPoint
    | HistogramDataPoint
    | ExponentialHistogramDataPoint
    | SummaryDataPoint
)
# Lower bound, upper bound, count; from the least to the greatest.
Bucket = tuple[float, float, int]

TYPES = {
    "gauge": "Gauge", "sum": "Sum", "histogram": "Histogram",
    "exponential_histogram": "ExponentialHistogram", "summary": "Summary",
}  # fmt: skip
TEMPORALITIES = ("Unspecified", "Delta", "Cumulative")


def count_metrics(request: ExportMetricsServiceRequest) -> int:
    """How many metrics there are, those without points included."""
    scopes = (
        scope for part in request.resource_metrics for scope in part.scope_metrics
    )
    return sum(len(scope.metrics) for scope in scopes)


def normal_lines(request: ExportMetricsServiceRequest) -> Iterator[str]:
    """A line for each resource, scope and data point."""
    names = Names("ResourceMetrics", "ScopeMetrics")
    return lines_in_short(request, FIELDS, names=names, item=_point_texts)


def detailed_lines(request: ExportMetricsServiceRequest) -> Iterator[str]:
    """Every field of every metric."""
    names = Names("ResourceMetrics", "ScopeMetrics", "Metric")
    return lines_in_full(request, FIELDS, names=names, item=_metric_lines)


def _point_texts(metric: Metric) -> Iterator[str]:
    return (_point_line(metric, point) for point in _points(metric))


def _points(metric: Metric) -> Iterable[Point]:
    kind = metric.WhichOneof("data")
    points: Iterable[Point] = getattr(metric, kind).data_points if kind else ()
    return points


# ---------------------------------------------------------------- one line


def _point_line(metric: Metric, point: Point) -> str:
    labels = ",".join(pairs([one]).strip() for one in point.attributes)
    return f"{metric.name}{{{labels}}} {_in_a_line(point)}"


def _in_a_line(point: Point) -> str:
    match point:
        case NumberDataPoint():
            return _number(point, floating=shortest)
        case HistogramDataPoint():
            words = [*_summary_words(point), *_bucket_words(point)]
        case ExponentialHistogramDataPoint():
            words = [*_summary_words(point), *_exponential_words(point)]
        case SummaryDataPoint():
            words = [f"count={point.count}", f"sum={fixed(point.sum)}"]
            words += [
                f"q{shortest(one.quantile)}={shortest(one.value)}"
                for one in point.quantile_values
            ]
    return " ".join(words)


def _number(
    point: NumberDataPoint | Exemplar, *, floating: Callable[[float], str]
) -> str:
    match point.WhichOneof("value"):
        case "as_int":
            return str(point.as_int)
        case "as_double":
            return floating(point.as_double)
        case _:
            return ""


def _summary_words(
    point: HistogramDataPoint | ExponentialHistogramDataPoint,
) -> Iterator[str]:
    yield f"count={point.count}"
    for name in ("sum", "min", "max"):
        if point.HasField(name):
            yield f"{name}={shortest(getattr(point, name))}"


def _bucket_words(point: HistogramDataPoint) -> Iterator[str]:
    for bound, count in zip_longest(
        point.explicit_bounds[: len(point.bucket_counts)], point.bucket_counts
    ):
        yield str(count) if bound is None else f"le{shortest(bound)}={count}"


def _exponential_words(point: ExponentialHistogramDataPoint) -> Iterator[str]:
    for _least, most, count in _negative(point):
        yield f"le{shortest(most)}={count}"
    if point.zero_count:
        yield f"zero={point.zero_count}"
    for _least, most, count in _positive(point):
        yield f"le{shortest(most)}={count}"


# ---------------------------------------------------------------- everything


def _metric_lines(metric: Metric) -> Iterator[str]:
    kind = metric.WhichOneof("data")
    yield "Descriptor:"
    yield f"     -> Name: {metric.name}"
    yield f"     -> Description: {metric.description}"
    yield f"     -> Unit: {metric.unit}"
    yield f"     -> DataType: {TYPES[kind] if kind else 'Empty'}"
    yield from attribute_lines("     -> Metadata", metric.metadata)
    if kind == "sum":
        yield f"     -> IsMonotonic: {str(metric.sum.is_monotonic).lower()}"
    if kind in ("sum", "histogram", "exponential_histogram"):
        number = getattr(metric, kind).aggregation_temporality
        temporality = word(TEMPORALITIES, number, other="")
        yield f"     -> AggregationTemporality: {temporality}"
    for index, point in enumerate(_points(metric)):
        yield f"{type(point).__name__}s #{index}"
        yield from attribute_lines("Data point attributes", point.attributes)
        yield f"StartTimestamp: {time_text(point.start_time_unix_nano)}"
        yield f"Timestamp: {time_text(point.time_unix_nano)}"
        yield from _point_lines(point)


def _point_lines(point: Point) -> Iterator[str]:
    match point:
        case NumberDataPoint():
            if point.WhichOneof("value"):
                yield f"Value: {_number(point, floating=fixed)}"
            yield from _exemplar_lines(point.exemplars)
        case HistogramDataPoint():
            yield from _count_lines(point)
            for index, bound in enumerate(point.explicit_bounds):
                yield f"ExplicitBounds #{index}: {fixed(bound)}"
            for index, count in enumerate(point.bucket_counts):
                yield f"Buckets #{index}, Count: {count}"
            yield from _exemplar_lines(point.exemplars)
        case ExponentialHistogramDataPoint():
            yield from _count_lines(point)
            for least, most, count in _negative(point):
                yield f"Bucket [{fixed(least)}, {fixed(most)}), Count: {count}"
            if point.zero_count:
                yield f"Bucket [0, 0], Count: {point.zero_count}"
            for least, most, count in _positive(point):
                yield f"Bucket ({fixed(least)}, {fixed(most)}], Count: {count}"
            yield from _exemplar_lines(point.exemplars)
        case SummaryDataPoint():
            yield f"Count: {point.count}"
            yield f"Sum: {fixed(point.sum)}"
            for index, one in enumerate(point.quantile_values):
                quantile, value = fixed(one.quantile), fixed(one.value)
                yield f"QuantileValue #{index}: Quantile {quantile}, Value {value}"


def _count_lines(
    point: HistogramDataPoint | ExponentialHistogramDataPoint,
) -> Iterator[str]:
    yield f"Count: {point.count}"
    for name in ("sum", "min", "max"):
        if point.HasField(name):
            yield f"{name.title()}: {fixed(getattr(point, name))}"


def _exemplar_lines(exemplars: Iterable[Exemplar]) -> Iterator[str]:
    for index, one in enumerate(exemplars):
        if index == 0:
            yield "Exemplars:"
        yield f"Exemplar #{index}"
        yield f"     -> Trace ID: {one.trace_id.hex()}"
        yield f"     -> Span ID: {one.span_id.hex()}"
        yield f"     -> Timestamp: {time_text(one.time_unix_nano)}"
        if one.WhichOneof("value"):
            yield f"     -> Value: {_number(one, floating=fixed)}"
        yield from attribute_lines(
            "     -> FilteredAttributes", one.filtered_attributes
        )


# ---------------------------------------------------------------- buckets


def _negative(point: ExponentialHistogramDataPoint) -> Iterator[Bucket]:
    buckets = point.negative
    for at in reversed(range(len(buckets.bucket_counts))):
        least, most = _bounds(buckets.offset + at, point.scale)
        yield -most, -least, buckets.bucket_counts[at]


def _positive(point: ExponentialHistogramDataPoint) -> Iterator[Bucket]:
    buckets = point.positive
    for at, count in enumerate(buckets.bucket_counts):
        yield (*_bounds(buckets.offset + at, point.scale), count)


def _bounds(index: int, scale: int) -> tuple[float, float]:
    return _exp(index, scale), _exp(index + 1, scale)


def _exp(index: int, scale: int) -> float:
    try:
        return math.exp(index * math.ldexp(math.log(2), -scale))
    except OverflowError:
        return math.inf
