"""The resources of a request by the text of one of their attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from tailring_otlpwire import count
from tailring_pipeline import KINDS, Batch, Rejected, Signal

__all__ = ["Group", "groups_of"]

_REQUESTS: Final[Mapping[Signal, tuple[Any, str]]] = {
    Signal.TRACES: (ExportTraceServiceRequest, "resource_spans"),
    Signal.LOGS: (ExportLogsServiceRequest, "resource_logs"),
    Signal.METRICS: (ExportMetricsServiceRequest, "resource_metrics"),
}


@dataclass(frozen=True, slots=True)
class Group:
    """What of a request has one value of the attribute."""

    value: str
    batch: Batch


def groups_of(batch: Batch, attribute: str) -> tuple[list[Group], Batch]:
    """The groups in order of appearance, and what is in none of them.

    As upstream, the first attribute of the name counts, and only as text. Raises
    `Rejected` when the request cannot be decoded.
    """
    request_type, field = _REQUESTS[batch.signal]
    try:
        request = request_type.FromString(batch.payload)
    except DecodeError as error:
        raise Rejected("invalid_argument", f"cannot be decoded: {error}") from error
    found: dict[str, Any] = {}
    rest = request_type()
    for part in getattr(request, field):
        value = _value_of(part.resource, attribute)
        group = rest if value is None else found.setdefault(value, request_type())
        getattr(group, field).append(part)
    groups = [
        Group(value, _batch(group.SerializeToString(), batch.signal))
        for value, group in found.items()
    ]
    return groups, _batch(rest.SerializeToString(), batch.signal)


def _batch(payload: bytes, signal: Signal) -> Batch:
    return Batch(payload, count(payload, KINDS[signal]), signal)


def _value_of(resource: Any, attribute: str) -> str | None:
    for one in resource.attributes:
        if one.key == attribute:
            if one.value.WhichOneof("value") != "string_value":
                return None
            text: str = one.value.string_value
            return text
    return None
