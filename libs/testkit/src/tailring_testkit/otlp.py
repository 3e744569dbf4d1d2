"""Builders of encoded trace requests, and their reading back for comparison.

Everything here goes through the protobuf library: it is the oracle that the
project's own wire code is compared with, so it shares no line with it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypedDict, Unpack

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import (
    ResourceSpans,
    ScopeSpans,
    Span,
    Status,
)

__all__ = [
    "EPOCH_NS",
    "Attribute",
    "Attributes",
    "SpanFields",
    "SpanRecord",
    "any_value",
    "join_messages",
    "key_values",
    "realistic_request",
    "request",
    "resource_spans",
    "scattered_requests",
    "span",
    "spans_of",
    "trace_ids",
    "trace_ids_of",
]

Attribute = str | bool | int | float | bytes | Sequence[str]
Attributes = Mapping[str, Attribute]

# 14 November 2023: start times of built spans count from here.
EPOCH_NS = 1_700_000_000_000_000_000


class SpanFields(TypedDict, total=False):
    """What a span may be given beside its ids; absent fields stay unset on the wire."""

    parent: bytes
    name: str
    start_ns: int
    end_ns: int
    status: int  # 0 unset, 1 ok, 2 error
    status_message: str
    kind: int
    trace_state: str
    attributes: Attributes


def any_value(value: Attribute) -> AnyValue:
    """The OTLP value of a Python value; a sequence of text becomes an array."""
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case str():
            return AnyValue(string_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
    values = [AnyValue(string_value=item) for item in value]
    return AnyValue(array_value=ArrayValue(values=values))


def key_values(attributes: Attributes) -> list[KeyValue]:
    """Attributes in the order given."""
    return [KeyValue(key=key, value=any_value(v)) for key, v in attributes.items()]


def span(trace_id: bytes, span_id: bytes, **fields: Unpack[SpanFields]) -> Span:
    """One span; see `SpanFields` for what else it can have."""
    built = Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=fields.get("parent", b""),
        name=fields.get("name", "operation"),
        start_time_unix_nano=fields.get("start_ns", 0),
        end_time_unix_nano=fields.get("end_ns", 0),
        kind=Span.SpanKind.ValueType(fields.get("kind", 0)),
        trace_state=fields.get("trace_state", ""),
        attributes=key_values(fields.get("attributes", {})),
    )
    if "status" in fields or "status_message" in fields:
        code = Status.StatusCode.ValueType(fields.get("status", 0))
        message = fields.get("status_message", "")
        built.status.CopyFrom(Status(code=code, message=message))
    return built


def resource_spans(
    spans: Iterable[Span],
    *,
    resource: Attributes | None = None,
    scope: str | None = None,
    schema_url: str = "",
) -> ResourceSpans:
    """Spans under one resource and one scope (both left out when None)."""
    scoped = ScopeSpans(spans=spans, schema_url=schema_url)
    if scope is not None:
        scoped.scope.CopyFrom(InstrumentationScope(name=scope, version="1.0"))
    built = ResourceSpans(scope_spans=[scoped], schema_url=schema_url)
    if resource is not None:
        built.resource.CopyFrom(Resource(attributes=key_values(resource)))
    return built


def request(
    *parts: Span | ResourceSpans,
    resource: Attributes | None = None,
    scope: str | None = None,
) -> bytes:
    """An encoded request of the given parts, in order.

    Spans that stand side by side share one resource and scope (those given here); a
    `ResourceSpans` stands for itself.
    """
    message = ExportTraceServiceRequest()
    loose: list[Span] = []
    for part in (*parts, None):
        if isinstance(part, Span):
            loose.append(part)
            continue
        if loose:
            built = resource_spans(loose, resource=resource, scope=scope)
            message.resource_spans.append(built)
            loose = []
        if part is not None:
            message.resource_spans.append(part)
    return message.SerializeToString()


class SpanRecord(NamedTuple):
    """A span with everything that belongs to it, comparable and sortable.

    Each field but the trace id is a canonical encoding, unknown fields included.
    ``resource`` holds the resource's schema URL too, ``scope`` the scope's.
    """

    trace_id: bytes
    span: bytes
    scope: bytes
    resource: bytes


def spans_of(payload: bytes) -> list[SpanRecord]:
    """Every span of an encoded request, in order; raises `DecodeError` on garbage."""
    message = ExportTraceServiceRequest.FromString(payload)
    records: list[SpanRecord] = []
    for resource in message.resource_spans:
        scopes = list(resource.scope_spans)
        del resource.scope_spans[:]
        resource_key = resource.SerializeToString(deterministic=True)
        for scope in scopes:
            spans = list(scope.spans)
            del scope.spans[:]
            scope_key = scope.SerializeToString(deterministic=True)
            records += (
                SpanRecord(
                    trace_id=one.trace_id,
                    span=one.SerializeToString(deterministic=True),
                    scope=scope_key,
                    resource=resource_key,
                )
                for one in spans
            )
    return records


def trace_ids_of(payload: bytes) -> set[bytes]:
    """The trace ids that an encoded request holds."""
    return {record.trace_id for record in spans_of(payload)}


def join_messages(payloads: Iterable[bytes]) -> ExportTraceServiceRequest:
    """All payloads as one parsed request, nothing merged."""
    return ExportTraceServiceRequest.FromString(b"".join(payloads))


def trace_ids(count: int, *, seed: int) -> list[bytes]:
    """``count`` different random trace ids; the same for the same seed."""
    rng = random.Random(seed)
    found: dict[bytes, None] = {}
    while len(found) < count:
        found[rng.randbytes(16)] = None
    return list(found)


# A pod's resource, as the k8sattributes processor leaves it.
_RESOURCE: Attributes = {
    "service.name": "checkout",
    "service.namespace": "shop",
    "service.version": "1.42.0",
    "k8s.namespace.name": "shop",
    "k8s.deployment.name": "checkout",
    "k8s.node.name": "ip-10-0-12-34.eu-central-1.compute.internal",
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": "opentelemetry",
    "telemetry.sdk.version": "1.45.2",
}
_SCOPE = "opentelemetry.instrumentation.grpc"
_ROUTES = ("/cart", "/orders", "/payment", "/product", "/shipping")


def _realistic_span(rng: random.Random, trace_id: bytes, *, parent: bytes) -> Span:
    """About 258 bytes on the wire, 7 attributes, one span in 50 an error."""
    start_ns = EPOCH_NS + rng.randrange(10**12)
    error = rng.random() < 0.02
    route = rng.choice(_ROUTES)
    return span(
        trace_id,
        rng.randbytes(8),
        parent=parent,
        name=f"GET {route}",
        kind=2,
        start_ns=start_ns,
        end_ns=start_ns + rng.randrange(10**6, 2 * 10**8),
        status=2 if error else 0,
        attributes={
            "http.request.method": "GET",
            "http.route": route,
            "http.response.status_code": 500 if error else 200,
            "server.address": "checkout",
            "server.port": 8080,
            "user.id": f"u{rng.randrange(10**6):06d}",
            "thread.name": f"w-{rng.randrange(16)}",
        },
    )


def _realistic(spans: Iterable[Span], rng: random.Random) -> bytes:
    pod = f"checkout-{rng.randrange(16**9):09x}-{rng.randrange(16**5):05x}"
    resource = {**_RESOURCE, "k8s.pod.name": pod, "host.name": pod}
    return request(*spans, resource=resource, scope=_SCOPE)


def realistic_request(spans: int, seed: int, *, spans_per_trace: int = 8) -> bytes:
    """A request of ``spans`` spans of one pod, traces side by side; about 258 bytes
    a span, and a resource of about 400. The same bytes for the same arguments."""
    rng = random.Random(f"realistic {seed}")
    built: list[Span] = []
    trace_id = root_id = b""
    for index in range(spans):
        if index % spans_per_trace == 0:
            trace_id, root_id = rng.randbytes(16), b""
        built.append(_realistic_span(rng, trace_id, parent=root_id))
        root_id = root_id or built[-1].span_id
    return _realistic(built, rng)


def scattered_requests(
    traces: int, seed: int, *, spans_per_trace: int = 8
) -> list[bytes]:
    """``spans_per_trace`` requests, each of one span of each of ``traces`` traces."""
    rng = random.Random(f"scattered {seed}")
    ids = [rng.randbytes(16) for _ in range(traces)]
    roots = [b""] * traces
    payloads: list[bytes] = []
    for _ in range(spans_per_trace):
        spans = [
            _realistic_span(rng, trace_id, parent=root)
            for trace_id, root in zip(ids, roots, strict=True)
        ]
        roots = [r or s.span_id for r, s in zip(roots, spans, strict=True)]
        payloads.append(_realistic(spans, rng))
    return payloads
