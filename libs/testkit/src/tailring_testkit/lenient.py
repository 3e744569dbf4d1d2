"""The protobuf library's messages of requests, with bytes wherever OTLP has text.

The library refuses text that is not UTF-8; the Collector and our wire code do not look.
These classes are the library's own decoder without that one rule, so that an oracle
says yes or no for structure alone.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

__all__ = ["LENIENT"]

_FILES: Final = (trace_service_pb2, logs_service_pb2, metrics_service_pb2)
_REQUESTS: Final = (
    "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest",
    "opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest",
    "opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest",
)


def _add(pool: descriptor_pool.DescriptorPool, file: Any, done: set[str]) -> None:
    if file.name in done:
        return
    done.add(file.name)
    for needed in file.dependencies:
        _add(pool, needed, done)
    copied = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(copied)
    for message in copied.message_type:
        _without_text(message)
    pool.Add(copied)


def _without_text(message: descriptor_pb2.DescriptorProto) -> None:
    for field in message.field:
        if field.type == field.TYPE_STRING:
            field.type = field.TYPE_BYTES
    for nested in message.nested_type:
        _without_text(nested)


def _classes() -> tuple[Any, ...]:
    pool = descriptor_pool.DescriptorPool()
    done: set[str] = set()
    for file in _FILES:
        _add(pool, file.DESCRIPTOR, done)
    found = map(pool.FindMessageTypeByName, _REQUESTS)
    return tuple(map(message_factory.GetMessageClass, found))


# By kind: traces, logs, metrics.
LENIENT: Final = _classes()
