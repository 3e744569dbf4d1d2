"""The OTLP services of each signal, by their names on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tailring_pipeline import Signal

__all__ = ["EXPORT", "REJECTED", "SERVICE"]

SERVICE: Final[Mapping[Signal, str]] = MappingProxyType(
    {
        Signal.TRACES: "opentelemetry.proto.collector.trace.v1.TraceService",
        Signal.LOGS: "opentelemetry.proto.collector.logs.v1.LogsService",
        Signal.METRICS: "opentelemetry.proto.collector.metrics.v1.MetricsService",
    }
)

# The path of the gRPC method.
EXPORT: Final[Mapping[Signal, str]] = MappingProxyType(
    {signal: f"/{service}/Export" for signal, service in SERVICE.items()}
)

# What a partial success calls the items that were not taken, in JSON.
REJECTED: Final[Mapping[Signal, str]] = MappingProxyType(
    {
        Signal.TRACES: "rejectedSpans",
        Signal.LOGS: "rejectedLogRecords",
        Signal.METRICS: "rejectedDataPoints",
    }
)
