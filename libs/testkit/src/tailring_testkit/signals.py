"""Requests of each signal whose items bear numbers, and which numbers came out.

Item ``i`` is a span, a log record or a data point with the attribute ``n`` = i. They
are built and read with protobuf's own library, which knows nothing of our wire code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, NumberDataPoint
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from tailring_pipeline import Batch, Signal

__all__ = [
    "EXPORT",
    "PATHS",
    "REQUESTS",
    "batch_of",
    "items_of",
    "numbers_of",
    "request_of",
    "services_of",
]

# The path of the gRPC method, and that of a POST.
EXPORT: Mapping[Signal, str] = {
    Signal.TRACES: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    Signal.LOGS: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    Signal.METRICS: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}
PATHS: Mapping[Signal, str] = {one: f"/v1/{one.value}" for one in Signal}
REQUESTS: Mapping[Signal, type[Message]] = {
    Signal.TRACES: ExportTraceServiceRequest,
    Signal.LOGS: ExportLogsServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
}


def request_of(
    signal: Signal, numbers: Iterable[int], *, service: str | None = "shop"
) -> bytes:
    """An encoded request of items with these numbers; ``service`` None: without it."""
    resource = Resource()
    if service is not None:
        resource.attributes.append(_text("service.name", service))
    match signal:
        case Signal.TRACES:
            return _traces(numbers, resource)
        case Signal.LOGS:
            return _logs(numbers, resource)
        case Signal.METRICS:
            return _metrics(numbers, resource)


def batch_of(
    signal: Signal, numbers: Iterable[int], *, service: str | None = "shop"
) -> Batch:
    """The same as a batch."""
    listed = list(numbers)
    payload = request_of(signal, listed, service=service)
    return Batch(payload, len(listed), signal)


def numbers_of(signal: Signal, payload: bytes) -> Counter[int]:
    """How often each number is in an encoded request."""
    return Counter(
        attribute.value.int_value
        for _service, item in _items(signal, payload)
        for attribute in item.attributes
        if attribute.key == "n"
    )


def services_of(signal: Signal, payload: bytes) -> set[str]:
    """The services that the items of an encoded request belong to."""
    return {service for service, _item in _items(signal, payload)}


def items_of(signal: Signal, payload: bytes) -> list[Any]:
    """Every span, log record or number point of an encoded request."""
    return [item for _service, item in _items(signal, payload)]


def _items(signal: Signal, payload: bytes) -> Iterator[tuple[str, Any]]:
    request: Any = REQUESTS[signal].FromString(payload)
    match signal:
        case Signal.TRACES:
            for part in request.resource_spans:
                for scope in part.scope_spans:
                    yield from ((_service(part), span) for span in scope.spans)
        case Signal.LOGS:
            for part in request.resource_logs:
                for scope in part.scope_logs:
                    yield from ((_service(part), one) for one in scope.log_records)
        case Signal.METRICS:
            for part in request.resource_metrics:
                for metric in _metrics_of(part):
                    yield from ((_service(part), one) for one in metric.sum.data_points)


def _metrics_of(part: Any) -> Iterator[Metric]:
    for scope in part.scope_metrics:
        yield from scope.metrics


def _service(part: Any) -> str:
    named = (it for it in part.resource.attributes if it.key == "service.name")
    return next((it.value.string_value for it in named), "")


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def _number(number: int) -> KeyValue:
    return KeyValue(key="n", value=AnyValue(int_value=number))


def _traces(numbers: Iterable[int], resource: Resource) -> bytes:
    request = ExportTraceServiceRequest()
    part = request.resource_spans.add(resource=resource)
    scope = part.scope_spans.add()
    for number in numbers:
        scope.spans.add(
            trace_id=_trace_id(number),
            span_id=(number + 1).to_bytes(8, "big"),
            name="operation",
            attributes=[_number(number)],
        )
    return request.SerializeToString()


def _logs(numbers: Iterable[int], resource: Resource) -> bytes:
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add(resource=resource).scope_logs.add()
    for number in numbers:
        scope.log_records.add(
            trace_id=_trace_id(number),
            time_unix_nano=number,
            body=AnyValue(string_value=f"message {number}"),
            attributes=[_number(number)],
        )
    return request.SerializeToString()


def _metrics(numbers: Iterable[int], resource: Resource) -> bytes:
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add(resource=resource).scope_metrics.add()
    listed = list(numbers)
    # Several points in a metric, as from an SDK.
    for start in range(0, len(listed), 5):
        metric = scope.metrics.add(name=f"requests.{start}", unit="1")
        metric.sum.is_monotonic = True
        metric.sum.aggregation_temporality = 2  # type: ignore[assignment]  # cumulative
        metric.sum.data_points.extend(
            NumberDataPoint(as_int=number, attributes=[_number(number)])
            for number in listed[start : start + 5]
        )
    return request.SerializeToString()


def _trace_id(number: int) -> bytes:
    # Spread, as random ids are.
    return ((number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128).to_bytes(
        16, "big"
    )
