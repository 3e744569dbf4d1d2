"""The collector and our router side by side, for the same request to both.

Both hand what they accept to the same collector, which hands it to a backend that
keeps the bytes: what came out of the two can be compared field by field, because the
same program wrote both. Nothing queues on either way, so what came out of a request
is known when it is answered.

    client -> otelcol ------------> backend "upstream"
    client -> router -> otelcol --> backend "ours"
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
)
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from tailring_pipeline import Signal
from tailring_testkit import ports, servers, services
from tailring_testkit.backend import Backend
from tailring_testkit.otlp_clients import GrpcClient, GrpcReply, HttpClient, HttpReply

__all__ = ["ItemText", "LenientRequest", "Pair", "Side", "item_texts", "pair"]


class ItemText(NamedTuple):
    """A span, record or metric with what belongs to it, each as protobuf's text."""

    resource: str
    scope: str
    item: str


# Where the items of a signal are: resources, scopes, items.
_LEVELS = {
    Signal.TRACES: ("resource_spans", "scope_spans", "spans"),
    Signal.LOGS: ("resource_logs", "scope_logs", "log_records"),
    Signal.METRICS: ("resource_metrics", "scope_metrics", "metrics"),
}


def _lenient(*modules: Any, name: str) -> Any:
    """A request of OTLP with bytes for text: invalid UTF-8 can be read as well."""
    pool = descriptor_pool.DescriptorPool()
    for module in (common_pb2, resource_pb2, *modules):
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        for message in file.message_type:
            _as_bytes(message)
        pool.Add(file)
    full_name = f"opentelemetry.proto.collector.{name}"
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(full_name))


def _as_bytes(message: descriptor_pb2.DescriptorProto) -> None:
    kinds = descriptor_pb2.FieldDescriptorProto
    for field in message.field:
        if field.type == kinds.TYPE_STRING:
            field.type = kinds.TYPE_BYTES
    for nested in message.nested_type:
        _as_bytes(nested)


LenientRequest: Any = _lenient(
    trace_pb2, trace_service_pb2, name="trace.v1.ExportTraceServiceRequest"
)
_LENIENT = {
    Signal.TRACES: LenientRequest,
    Signal.LOGS: _lenient(
        logs_pb2, logs_service_pb2, name="logs.v1.ExportLogsServiceRequest"
    ),
    Signal.METRICS: _lenient(
        metrics_pb2, metrics_service_pb2, name="metrics.v1.ExportMetricsServiceRequest"
    ),
}


def item_texts(payload: bytes, signal: Signal = Signal.TRACES) -> list[ItemText]:
    """Every item of an encoded request, sorted; its text need not be UTF-8."""
    in_request, in_resource, in_scope = _LEVELS[signal]
    texts: list[ItemText] = []
    for resource in getattr(_LENIENT[signal].FromString(payload), in_request):
        scopes = list(getattr(resource, in_resource))
        resource.ClearField(in_resource)
        resource_text = text_format.MessageToString(resource)
        for scope in scopes:
            items = list(map(text_format.MessageToString, getattr(scope, in_scope)))
            scope.ClearField(in_scope)
            scope_text = text_format.MessageToString(scope)
            texts += [ItemText(resource_text, scope_text, item) for item in items]
    return sorted(texts)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: where it listens and where what it accepts comes out."""

    name: str
    grpc_port: int
    http_port: int
    grpc: GrpcClient
    http: HttpClient
    backend: Backend

    def taken(self, signal: Signal = Signal.TRACES) -> list[ItemText]:
        """The items that came out since the last call."""
        received = self.backend.received_of[signal]
        payload = b"".join(received)
        received.clear()
        try:
            return item_texts(payload, signal)
        except DecodeError:  # deeper than the protobuf library reads
            return [ItemText("", "", repr(payload))]


@dataclass(frozen=True, slots=True)
class Pair:
    """The collector and our router."""

    upstream: Side
    ours: Side
    router: services.Service

    async def post(self, body: bytes, **how: str) -> tuple[HttpReply, HttpReply]:
        """POST to both, see `HttpClient.post`: upstream's answer and ours."""
        first = await self.upstream.http.post(body, **how)
        return first, await self.ours.http.post(body, **how)

    async def export(self, body: bytes, **how: Any) -> tuple[GrpcReply, GrpcReply]:
        """Call both, see `GrpcClient.export`: upstream's answer and ours."""
        first = await self.upstream.grpc.export(body, **how)
        return first, await self.ours.grpc.export(body, **how)


def _otlp(*, grpc: int, http: int) -> dict[str, Any]:
    return {
        "protocols": {
            "grpc": {"endpoint": f"127.0.0.1:{grpc}"},
            "http": {"endpoint": f"127.0.0.1:{http}"},
        }
    }


def _collector(
    direct: dict[str, Any], behind: dict[str, Any], *, targets: dict[str, str]
) -> dict[str, Any]:
    """One collector with two ways that share nothing."""
    exporters = {
        f"otlp/{name}": {
            "endpoint": target,
            "tls": {"insecure": True},
            "compression": "none",
            "sending_queue": {"enabled": False},
            "retry_on_failure": {"enabled": False},
        }
        for name, target in targets.items()
    }
    return {
        "receivers": {"otlp/upstream": direct, "otlp/ours": behind},
        "exporters": exporters,
        "service": {
            "pipelines": {
                f"{signal.value}/{name}": {
                    "receivers": [f"otlp/{name}"],
                    "exporters": [f"otlp/{name}"],
                }
                for name in targets
                for signal in Signal
            }
        },
    }


@asynccontextmanager
async def pair(
    folder: Path, *, exporter: Mapping[str, Any] | None = None
) -> AsyncIterator[Pair]:
    """Run everything that the module's picture shows; ``exporter`` adds keys to the
    router's."""
    grpc, http, behind_grpc, behind_http = ports.free_ports(4)
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(Backend())
        ours = await stack.enter_async_context(Backend())
        config = _collector(
            _otlp(grpc=grpc, http=http),
            _otlp(grpc=behind_grpc, http=behind_http),
            targets={"upstream": upstream.address, "ours": ours.address},
        )
        stack.enter_context(servers.otelcol(config, folder))
        static = {"static": {"hostnames": [f"127.0.0.1:{behind_grpc}"]}}
        router = stack.enter_context(
            services.router(
                folder, static, exporter=exporter, signals=[it.value for it in Signal]
            )
        )

        async def side(name: str, ports_: tuple[int, int], backend: Backend) -> Side:
            """Connect a gRPC and an HTTP client to one of the two."""
            grpc_client = GrpcClient(f"127.0.0.1:{ports_[0]}")
            http_client = HttpClient(f"http://127.0.0.1:{ports_[1]}")
            await stack.enter_async_context(grpc_client)
            await stack.enter_async_context(http_client)
            return Side(name, *ports_, grpc_client, http_client, backend)

        yield Pair(
            await side("upstream", (grpc, http), upstream),
            await side("ours", (router.grpc_port, router.http_port), ours),
            router,
        )
