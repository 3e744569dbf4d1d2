"""The OpenTelemetry Python SDK's own exporters deliver to the receiver."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
    OTLPSpanExporter as GrpcExporter,
)
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
    OTLPSpanExporter as HttpExporter,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Status, StatusCode

from tailring_pipeline import Refused
from tailring_testkit import otlp
from tailring_testkit.receiver_rig import Counts, ReceiverRig, receiver_rig

Make = Callable[[ReceiverRig], SpanExporter]


def _grpc(rig: ReceiverRig) -> SpanExporter:
    endpoint = f"http://127.0.0.1:{rig.receiver.grpc_port}"
    return GrpcExporter(endpoint=endpoint, insecure=True)


def _http(rig: ReceiverRig) -> SpanExporter:
    endpoint = f"http://127.0.0.1:{rig.receiver.http_port}/v1/traces"
    return HttpExporter(endpoint=endpoint)


def _http_gzip(rig: ReceiverRig) -> SpanExporter:
    endpoint = f"http://127.0.0.1:{rig.receiver.http_port}/v1/traces"
    return HttpExporter(endpoint=endpoint, compression=Compression.Gzip)


def _send(exporter: SpanExporter, spans: int) -> list[bytes]:
    """Send spans of one trace through a batch processor; returns their span ids."""
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    ids = []
    with tracer.start_as_current_span("root") as root:
        ids.append(root.get_span_context().span_id.to_bytes(8))
        for index in range(spans - 1):
            with tracer.start_as_current_span(f"child {index}") as child:
                child.set_attribute("index", index)
                child.set_status(Status(StatusCode.ERROR, "no"))
                ids.append(child.get_span_context().span_id.to_bytes(8))
    provider.shutdown()
    return ids


@pytest.mark.parametrize(
    ("make", "transport"),
    [(_grpc, "grpc"), (_http, "http"), (_http_gzip, "http")],
    ids=["grpc", "http", "http-gzip"],
)
async def test_an_sdk_delivers_every_span_once(make: Make, transport: str) -> None:
    """What an application records arrives, span for span, over each transport."""
    async with receiver_rig() as rig:
        ids = await asyncio.to_thread(_send, make(rig), 600)
        arrived = sum(batch.items for batch in rig.sink.batches)
        assert arrived == len(ids) == 600
        spans = otlp.spans_of(rig.sink.payload)
        assert len({record.span for record in spans}) == 600
        assert len({record.trace_id for record in spans}) == 1
        counts = rig.counts(transport)
        assert counts == Counts(accepted_spans=600, success=counts.success)


@pytest.mark.parametrize("make", [_grpc, _http], ids=["grpc", "http"])
async def test_an_sdk_retries_what_was_refused(make: Make) -> None:
    """A refusal is retried by the SDK after the delay it was told, and then arrives."""
    async with receiver_rig() as rig:
        rig.sink.script([Refused("full", "full", retry_after_s=0.2)])
        await asyncio.to_thread(_send, make(rig), 3)
        assert rig.sink.items == 3
        assert len(rig.sink.turned_away) == 1
