"""Requests of each signal as a service would send them, for the wire code alone.

One resource with nine attributes and one scope; spans with seven attributes, log
records and data points with five, ten points in a metric.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final

from bench.stream import Stream
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

__all__ = ["ITEMS", "KEYS", "payloads"]

_TRACES, _LOGS, _METRICS = range(3)

# What the items of a kind are called.
ITEMS: Final = ("spans", "records", "points")
# The routing keys of a kind that are measured, with the attributes they name.
KEYS: Final[tuple[tuple[tuple[str, tuple[str, ...]], ...], ...]] = (
    (("traceID", ()), ("service", ()), ("attributes", ("service.name", "span.name"))),
    (
        ("service", ()),
        ("resource", ()),
        ("traceID", ()),
        ("attributes", ("service.name", "tenant")),
    ),
    (
        ("service", ()),
        ("resource", ()),
        ("metric", ()),
        ("streamID", ()),
        ("attributes", ("service.name", "tenant")),
    ),
)

_NOW_NS: Final = 1_700_000_000_000_000_000
_RESOURCE: Final = {
    "service.name": "checkout",
    "service.namespace": "shop",
    "service.version": "1.42.0",
    "k8s.namespace.name": "shop",
    "k8s.deployment.name": "checkout",
    "k8s.pod.name": "checkout-5f6d8c7b9-x2x7q",
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": "opentelemetry",
    "telemetry.sdk.version": "1.45.2",
}
_POINTS_OF_METRIC: Final = 10


def payloads(items: int) -> Mapping[int, bytes]:
    """A request of so many items of each kind; the same at every call."""
    (traces,) = next(Stream(items, scattered=False, seed=3).rounds()).payloads
    return {_TRACES: traces, _LOGS: _logs(items), _METRICS: _metrics(items)}


def _attributes(texts: Mapping[str, str]) -> list[KeyValue]:
    return [
        KeyValue(key=key, value=AnyValue(string_value=text))
        for key, text in texts.items()
    ]


def _of_item(number: int) -> list[KeyValue]:
    return _attributes(
        {
            "http.request.method": "GET",
            "http.route": f"/r{number % 7}",
            "tenant": f"t{number % 50}",
            "server.address": "checkout",
            "thread.name": f"w-{number % 16}",
        }
    )


def _logs(items: int) -> bytes:
    rng = random.Random(3)
    message = ExportLogsServiceRequest()
    resource = message.resource_logs.add()
    resource.resource.attributes.extend(_attributes(_RESOURCE))
    scope = resource.scope_logs.add()
    for number in range(items):
        scope.log_records.add(
            time_unix_nano=_NOW_NS + number,
            severity_text="INFO",
            trace_id=rng.randbytes(16),
            span_id=rng.randbytes(8),
            body=AnyValue(string_value=f"order {number} was taken and will be sent"),
            attributes=_of_item(number),
        )
    return message.SerializeToString()


def _metrics(items: int) -> bytes:
    message = ExportMetricsServiceRequest()
    resource = message.resource_metrics.add()
    resource.resource.attributes.extend(_attributes(_RESOURCE))
    scope = resource.scope_metrics.add()
    for number in range(items):
        if number % _POINTS_OF_METRIC == 0:
            metric = scope.metrics.add(name=f"http.requests.{number}", unit="1")
            metric.sum.is_monotonic = True
        metric.sum.data_points.add(
            time_unix_nano=_NOW_NS, as_int=number, attributes=_of_item(number)
        )
    return message.SerializeToString()
