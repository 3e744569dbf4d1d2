"""Requests of logs and metrics: strategies, and their reading back for comparison.

As `otlp` and `requests` do for traces, everything here goes through the protobuf
library. Attributes are what is hard to route by: of every type of value, nested, with
keys that come twice, missing and empty ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Exemplar,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    SummaryDataPoint,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

__all__ = [
    "DATA",
    "MESSAGES",
    "Item",
    "attributes",
    "items_of",
    "log_requests",
    "metric_requests",
    "requests_of",
    "trace_requests",
    "values",
]

# The message of a request, by kind: traces, logs, metrics.
MESSAGES: Final[tuple[Any, ...]] = (
    ExportTraceServiceRequest,
    ExportLogsServiceRequest,
    ExportMetricsServiceRequest,
)
# The fields of a metric that hold its data points.
DATA: Final = ("gauge", "sum", "histogram", "exponential_histogram", "summary")

_RESOURCES: Final = ("resource_spans", "resource_logs", "resource_metrics")
_SCOPES: Final = ("scope_spans", "scope_logs", "scope_metrics")
_METRICS: Final = 2
_ITEMS: Final = ("spans", "log_records", "metrics")


class Item(NamedTuple):
    """One item as the library writes it, and the headers above it."""

    resource: bytes
    scope: bytes
    metric: bytes  # empty for spans and records
    item: bytes


def items_of(payload: bytes, kind: int) -> list[Item]:
    """The items of a request in their order."""
    found: list[Item] = []
    for resource in getattr(MESSAGES[kind].FromString(payload), _RESOURCES[kind]):
        scopes = list(getattr(resource, _SCOPES[kind]))
        resource.ClearField(_SCOPES[kind])
        head = resource.SerializeToString(deterministic=True)
        for scope in scopes:
            found += _scope_items(head, scope, kind)
    return found


def _scope_items(resource: bytes, scope: Any, kind: int) -> list[Item]:
    items = list(getattr(scope, _ITEMS[kind]))
    scope.ClearField(_ITEMS[kind])
    above = (resource, scope.SerializeToString(deterministic=True))
    if kind == _METRICS:
        return [point for metric in items for point in _points(above, metric)]
    written = (item.SerializeToString(deterministic=True) for item in items)
    return [Item(*above, b"", each) for each in written]


def _points(above: tuple[bytes, bytes], metric: Metric) -> list[Item]:
    which = metric.WhichOneof("data")
    if which is None:
        return []
    data = getattr(metric, which)
    points = [each.SerializeToString(deterministic=True) for each in data.data_points]
    data.ClearField("data_points")
    head = metric.SerializeToString(deterministic=True)
    return [Item(*above, head, point) for point in points]


# ---------------------------------------------------------------- attributes

_TEXT: Final = st.one_of(
    st.sampled_from(["", "a", "b", "checkout", "k", "ü/<&>", '"\\\n\u2028\x01|=']),
    st.text(max_size=6),
)
_KEYS: Final = st.sampled_from(["service.name", "a", "b", "log.body", "", "é"])
_NUMBERS: Final = st.one_of(
    st.sampled_from([0.0, -0.0, 1.5, 1e6, 1e21, 1e-7, 5e-324, math.nan, math.inf]),
    st.floats(),
)


def values() -> st.SearchStrategy[AnyValue]:
    """Values of every type, maps and slices in each other, and the empty value."""
    return st.recursive(
        st.one_of(
            st.builds(AnyValue, string_value=_TEXT),
            st.builds(AnyValue, string_value=_TEXT),
            st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1)),
            st.builds(AnyValue, double_value=_NUMBERS),
            st.builds(AnyValue, bool_value=st.booleans()),
            st.builds(AnyValue, bytes_value=st.binary(max_size=5)),
            st.just(AnyValue()),
        ),
        _containers,
        max_leaves=5,
    )


def _containers(inner: st.SearchStrategy[AnyValue]) -> st.SearchStrategy[AnyValue]:
    pairs = st.lists(st.builds(KeyValue, key=_KEYS, value=inner), max_size=3)
    return st.one_of(
        st.lists(inner, max_size=3).map(
            lambda several: AnyValue(array_value=ArrayValue(values=several))
        ),
        pairs.map(lambda several: AnyValue(kvlist_value=KeyValueList(values=several))),
    )


def attributes() -> st.SearchStrategy[list[KeyValue]]:
    """A few attributes, of which two may have one key."""
    return st.lists(st.builds(KeyValue, key=_KEYS, value=values()), max_size=3)


# ---------------------------------------------------------------- requests

_IDS: Final = st.sampled_from([b"", bytes(15) + b"\1", b"\xab" * 16, bytes(16)])
_SPAN_IDS: Final = st.sampled_from([b"", b"\1" * 8])
_URLS: Final = st.sampled_from(["", "", "https://schema.test/1"])
_COUNTS: Final = st.lists(st.integers(0, 2**63), max_size=3)
_TEMPORALITIES: Final = st.integers(0, 2)


def _resources() -> st.SearchStrategy[Resource]:
    return st.builds(Resource, attributes=attributes())


def _scopes() -> st.SearchStrategy[InstrumentationScope]:
    return st.builds(
        InstrumentationScope,
        name=st.sampled_from(["", "lib"]),
        version=st.sampled_from(["", "1.0"]),
        attributes=attributes(),
    )


def _spans() -> st.SearchStrategy[Span]:
    return st.builds(
        Span,
        trace_id=_IDS,
        span_id=_SPAN_IDS,
        name=_TEXT,
        kind=st.integers(0, 5),
        attributes=attributes(),
    )


def _records() -> st.SearchStrategy[LogRecord]:
    return st.builds(
        LogRecord,
        time_unix_nano=st.integers(0, 2**64 - 1),
        severity_text=st.sampled_from(["", "ERROR", "info"]),
        severity_number=st.integers(0, 24),
        body=st.one_of(st.none(), values()),
        attributes=attributes(),
        trace_id=_IDS,
        span_id=_SPAN_IDS,
    )


def _exemplars() -> st.SearchStrategy[list[Exemplar]]:
    one = st.builds(
        Exemplar, filtered_attributes=attributes(), trace_id=_IDS, span_id=_SPAN_IDS
    )
    return st.lists(one, max_size=1)


@st.composite
def _buckets(draw: st.DrawFn) -> ExponentialHistogramDataPoint.Buckets:
    return ExponentialHistogramDataPoint.Buckets(
        offset=draw(st.integers(-5, 5)), bucket_counts=draw(_COUNTS)
    )


_QUANTILES: Final = st.builds(
    SummaryDataPoint.ValueAtQuantile, quantile=st.floats(0, 1), value=_NUMBERS
)
_POINTS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "number": st.builds(
        NumberDataPoint,
        as_double=st.floats(allow_nan=False),
        attributes=attributes(),
        exemplars=_exemplars(),
    ),
    "histogram": st.builds(
        HistogramDataPoint,
        count=st.integers(0, 9),
        bucket_counts=_COUNTS,
        explicit_bounds=st.lists(st.floats(allow_nan=False), max_size=2),
        attributes=attributes(),
        exemplars=_exemplars(),
    ),
    "exponential_histogram": st.builds(
        ExponentialHistogramDataPoint,
        scale=st.integers(-3, 3),
        positive=_buckets(),
        attributes=attributes(),
        exemplars=_exemplars(),
    ),
    "summary": st.builds(
        SummaryDataPoint,
        quantile_values=st.lists(_QUANTILES, max_size=2),
        attributes=attributes(),
    ),
}


@st.composite
def _metrics(draw: st.DrawFn) -> Metric:
    built = Metric(
        name=draw(st.sampled_from(["", "cpu", "http.requests"])),
        unit=draw(st.sampled_from(["", "1"])),
        description=draw(st.sampled_from(["", "what it is"])),
        metadata=draw(attributes()),
    )
    which = draw(st.sampled_from([*DATA, ""]))
    if not which:
        return built
    data = getattr(built, which)
    data.SetInParent()
    point = _POINTS["number" if which in ("gauge", "sum") else which]
    data.data_points.extend(draw(st.lists(point, max_size=4)))
    if which in ("sum", "histogram", "exponential_histogram"):
        data.aggregation_temporality = draw(_TEMPORALITIES)
    if which == "sum":
        data.is_monotonic = draw(st.booleans())
    return built


def _requests(
    kind: int, items: st.SearchStrategy[Any], shapes: tuple[Any, Any]
) -> st.SearchStrategy[bytes]:
    resource_type, scope_type = shapes
    scope = st.builds(
        scope_type,
        **{_ITEMS[kind]: st.lists(items, max_size=4)},
        scope=st.one_of(st.none(), _scopes()),
        schema_url=_URLS,
    )
    resource = st.builds(
        resource_type,
        **{_SCOPES[kind]: st.lists(scope, max_size=3)},
        resource=st.one_of(st.none(), _resources()),
        schema_url=_URLS,
    )
    built = st.builds(
        MESSAGES[kind], **{_RESOURCES[kind]: st.lists(resource, max_size=3)}
    )
    return built.map(lambda message: bytes(message.SerializeToString()))


def trace_requests() -> st.SearchStrategy[bytes]:
    """Requests of spans, with attributes of every type."""
    return _requests(0, _spans(), (ResourceSpans, ScopeSpans))


def log_requests() -> st.SearchStrategy[bytes]:
    """Requests of log records."""
    return _requests(1, _records(), (ResourceLogs, ScopeLogs))


def metric_requests() -> st.SearchStrategy[bytes]:
    """Requests of metrics of all five types, of none, and without points."""
    return _requests(2, _metrics(), (ResourceMetrics, ScopeMetrics))


_STRATEGIES: Final[tuple[Callable[[], st.SearchStrategy[bytes]], ...]] = (
    trace_requests,
    log_requests,
    metric_requests,
)


def requests_of(kind: int) -> st.SearchStrategy[bytes]:
    """Requests of one kind."""
    return _STRATEGIES[kind]()
