"""The fleet: the shop's services, each with its own OpenTelemetry SDK.

Every service has one `TracerProvider`, a `BatchSpanProcessor` and an exporter of the
SDK's own: half of them speak OTLP over gRPC (some with gzip), half OTLP over HTTP,
half use the first router and half the second. So the spans of one trace leave
through several exporters, at different moments, by both doors, as they do in life.

`Fleet.play` is called from one thread, the one that owns the ledger: the SDK calls
span processors in the thread that ends the span. The exporters run in threads of
the SDK; `stop` waits for them and blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from grpc import Compression
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
    OTLPSpanExporter as GrpcExporter,
)
from opentelemetry.exporter.otlp.proto.http import Compression as HttpCompression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
    OTLPSpanExporter as HttpExporter,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanKind, Tracer, set_span_in_context
from opentelemetry.trace.status import Status, StatusCode

from tailring_cli.demo.shop import SERVICES, Call

__all__ = ["Door", "Fleet"]

_QUEUE_SPANS_MAX = 16_384
_BATCH_SPANS_MAX = 512
_EXPORT_TIMEOUT_S = 30.0
_FLUSH_TIMEOUT_MS = 30_000
_KINDS = {kind.name: kind for kind in SpanKind}


@dataclass(frozen=True, slots=True)
class Door:
    """Where a router listens."""

    grpc_endpoint: str
    http_endpoint: str


class _SeededIds(IdGenerator):
    """Random ids out of a seeded generator; all services draw from the same one."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def generate_span_id(self) -> int:
        return self._rng.randrange(1, 1 << 64)

    def generate_trace_id(self) -> int:
        return self._rng.randrange(1, 1 << 128)


class _Watcher(SpanProcessor):
    """Tells the ledger about every span that is ended, before it is queued."""

    def __init__(self, on_span: Callable[[int, int], None]) -> None:
        self._on_span = on_span

    def on_end(self, span: ReadableSpan) -> None:
        context = span.context
        assert context is not None
        self._on_span(context.trace_id, context.span_id)


class _Counting(SpanExporter):
    """An exporter of the SDK's with the spans counted that it could not deliver."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self.failed_spans = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self.failed_spans += len(spans)
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()


class Fleet:
    """All services of the shop, ready to send.

    ``on_span`` is called with trace id and span id for every span, in the thread
    that calls `play`.
    """

    def __init__(
        self, doors: Sequence[Door], *, rng: Random, on_span: Callable[[int, int], None]
    ) -> None:
        ids = _SeededIds(rng)
        watcher = _Watcher(on_span)
        self._stopped = False
        self._exporters: list[_Counting] = []
        self._providers: list[TracerProvider] = []
        self._tracers: dict[str, Tracer] = {}
        for number, service in enumerate(SERVICES):
            exporter = _Counting(_exporter(number, doors[number // 2 % len(doors)]))
            provider = TracerProvider(
                sampler=ALWAYS_ON,
                resource=_resource(service),
                shutdown_on_exit=False,
                id_generator=ids,
            )
            provider.add_span_processor(watcher)
            provider.add_span_processor(_batching(exporter, number))
            self._exporters.append(exporter)
            self._providers.append(provider)
            self._tracers[service] = provider.get_tracer("tailring.demo.shop", "1.0")

    def play(self, call: Call, *, start_ns: int) -> None:
        """Send one visit whose first span began at ``start_ns`` (Unix time)."""
        self._play(call, None, start_ns=start_ns)

    def _play(self, call: Call, parent: Context | None, *, start_ns: int) -> None:
        span = self._tracers[call.service].start_span(
            call.name,
            context=parent if parent is not None else Context(),
            kind=_KINDS[call.kind.value],
            attributes=call.attributes,
            start_time=start_ns + call.start_ns,
        )
        context = set_span_in_context(span, Context())
        for child in call.children:
            self._play(child, context, start_ns=start_ns)
        if call.failure:
            span.add_event(
                "exception",
                {"exception.type": "ShopError", "exception.message": call.failure},
                timestamp=start_ns + call.end_ns,
            )
            span.set_status(Status(StatusCode.ERROR, call.failure))
        span.end(end_time=start_ns + call.end_ns)

    def failed_spans(self) -> int:
        """How many spans the exporters gave up on."""
        return sum(exporter.failed_spans for exporter in self._exporters)

    def stop(self) -> None:
        """Send what is queued and close. Blocks; call it from a worker thread."""
        for provider in self._providers:
            provider.force_flush(_FLUSH_TIMEOUT_MS)
        for provider in self._providers:
            provider.shutdown()
        self._stopped = True

    def abandon(self) -> None:
        """Give up retries and queues, so that a `stop` under way returns soon."""
        if not self._stopped:
            for exporter in self._exporters:
                exporter.shutdown()


def _exporter(number: int, door: Door) -> SpanExporter:
    """gRPC and HTTP in turn; every second one of each compresses."""
    zipped = number % 4 >= 2
    if number % 2 == 0:
        return GrpcExporter(
            endpoint=door.grpc_endpoint,
            insecure=True,
            timeout=_EXPORT_TIMEOUT_S,
            compression=Compression.Gzip if zipped else Compression.NoCompression,
        )
    return HttpExporter(
        endpoint=f"http://{door.http_endpoint}/v1/traces",
        timeout=_EXPORT_TIMEOUT_S,
        compression=HttpCompression.Gzip if zipped else HttpCompression.NoCompression,
    )


def _batching(exporter: SpanExporter, number: int) -> BatchSpanProcessor:
    """Each service flushes in its own rhythm, so a trace comes in pieces."""
    return BatchSpanProcessor(
        exporter,
        max_queue_size=_QUEUE_SPANS_MAX,
        schedule_delay_millis=200 + 60 * number,
        max_export_batch_size=_BATCH_SPANS_MAX,
    )


def _resource(service: str) -> Resource:
    return Resource(
        {
            "service.name": service,
            "service.namespace": "shop",
            "service.version": "1.4.2",
            "service.instance.id": f"{service}-0",
            "deployment.environment.name": "demo",
            "telemetry.sdk.name": "opentelemetry",
            "telemetry.sdk.language": "python",
        }
    )
