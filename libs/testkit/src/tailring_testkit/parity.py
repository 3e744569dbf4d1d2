"""The collector and our router side by side, for the same request to both.

Both hand what they accept to the same collector, which hands it to a backend that
keeps the bytes: what came out of the two can be compared field by field, because the
same program wrote both. Nothing queues on either way, so what came out of a request
is known when it is answered.

    client -> otelcol ------------> backend "upstream"
    client -> router -> otelcol --> backend "ours"
"""

from __future__ import annotations

from collections.abc import AsyncIterator
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
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from tailring_testkit import ports, servers, services
from tailring_testkit.backend import Backend
from tailring_testkit.otlp_clients import GrpcClient, GrpcReply, HttpClient, HttpReply

__all__ = ["LenientRequest", "Pair", "Side", "SpanText", "pair", "span_texts"]


class SpanText(NamedTuple):
    """A span with what belongs to it, each as protobuf's text."""

    resource: str
    scope: str
    span: str


def _lenient_request() -> Any:
    """OTLP's trace request with bytes for text: invalid UTF-8 can be read as well."""
    pool = descriptor_pool.DescriptorPool()
    for module in (common_pb2, resource_pb2, trace_pb2, trace_service_pb2):
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        for message in file.message_type:
            _as_bytes(message)
        pool.Add(file)
    name = "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest"
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def _as_bytes(message: descriptor_pb2.DescriptorProto) -> None:
    kinds = descriptor_pb2.FieldDescriptorProto
    for field in message.field:
        if field.type == kinds.TYPE_STRING:
            field.type = kinds.TYPE_BYTES
    for nested in message.nested_type:
        _as_bytes(nested)


LenientRequest: Any = _lenient_request()


def span_texts(payload: bytes) -> list[SpanText]:
    """Every span of an encoded request, sorted; its text need not be UTF-8."""
    texts: list[SpanText] = []
    for resource in LenientRequest.FromString(payload).resource_spans:
        scopes = list(resource.scope_spans)
        del resource.scope_spans[:]
        resource_text = text_format.MessageToString(resource)
        for scope in scopes:
            spans = [text_format.MessageToString(span) for span in scope.spans]
            del scope.spans[:]
            scope_text = text_format.MessageToString(scope)
            texts += [SpanText(resource_text, scope_text, span) for span in spans]
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

    def taken(self) -> list[SpanText]:
        """The spans that came out since the last call."""
        payload = b"".join(self.backend.received)
        self.backend.received.clear()
        try:
            return span_texts(payload)
        except DecodeError:  # deeper than the protobuf library reads
            return [SpanText("", "", repr(payload))]


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
                f"traces/{name}": {
                    "receivers": [f"otlp/{name}"],
                    "exporters": [f"otlp/{name}"],
                }
                for name in targets
            }
        },
    }


@asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[Pair]:
    """Run everything that the module's picture shows."""
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
        router = stack.enter_context(services.router(folder, static))

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
