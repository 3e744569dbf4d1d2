"""Logs and metrics of other people's clients arrive in collectors behind our router.

The clients are telemetrygen and the OpenTelemetry Python SDK, over both transports. Two
collectors write what they get to files, encoded; what the SDK handed to its exporter is
compared with that, field by field.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import (
    OTLPLogExporter as GrpcLogs,
)
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
    OTLPMetricExporter as GrpcMetrics,
)
from opentelemetry.exporter.otlp.proto.http._log_exporter import (
    OTLPLogExporter as HttpLogs,
)
from opentelemetry.exporter.otlp.proto.http.metric_exporter import (
    OTLPMetricExporter as HttpMetrics,
)
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, set_span_in_context

from tailring_pipeline import Signal
from tailring_testkit import ports, servers, services
from tailring_testkit.parity import item_texts
from tailring_testkit.process import wait_until

_SIGNALS = (Signal.LOGS, Signal.METRICS)


@dataclass(frozen=True, slots=True)
class Way:
    """The router, and where the two collectors behind it write to."""

    router: services.Service
    folders: tuple[Path, Path]

    def arrived(self, signal: Signal) -> list[bytes]:
        """The requests of each collector, all of them joined."""
        return [_requests(folder / signal.value) for folder in self.folders]

    def items(self, signal: Signal) -> int:
        """How many items the collectors have written."""
        return sum(_count(signal, payload) for payload in self.arrived(signal))


def _requests(path: Path) -> bytes:
    """What the file exporter wrote: requests, each after its size."""
    if not path.exists():
        return b""
    written, joined, pos = path.read_bytes(), b"", 0
    while pos + 4 <= len(written):
        (size,) = struct.unpack_from(">I", written, pos)
        joined += written[pos + 4 : pos + 4 + size]
        pos += 4 + size
    return joined if pos == len(written) else b""


def _count(signal: Signal, payload: bytes) -> int:
    texts = item_texts(payload, signal)
    if signal is Signal.LOGS:
        return len(texts)
    return sum(one.item.count("data_points {") for one in texts)


def _collector(port: int, folder: Path) -> dict[str, Any]:
    exporters = {
        f"file/{one.value}": {
            "path": str(folder / one.value),
            "format": "proto",
            "flush_interval": "100ms",
        }
        for one in _SIGNALS
    }
    grpc = {"endpoint": f"127.0.0.1:{port}"}
    return {
        "receivers": {"otlp": {"protocols": {"grpc": grpc}}},
        "exporters": exporters,
        "service": {
            "pipelines": {
                one.value: {"receivers": ["otlp"], "exporters": [f"file/{one.value}"]}
                for one in _SIGNALS
            }
        },
    }


@pytest.fixture
def way(tmp_path: Path) -> Iterator[Way]:
    """A router in front of two collectors."""
    with ExitStack() as stack:
        targets = []
        folders = (tmp_path / "one", tmp_path / "two")
        for folder in folders:
            folder.mkdir()
            port = ports.free_port()
            stack.enter_context(servers.otelcol(_collector(port, folder), folder))
            targets.append(f"127.0.0.1:{port}")
        router = stack.enter_context(
            services.router(
                tmp_path,
                {"static": {"hostnames": targets}},
                signals=[one.value for one in _SIGNALS],
            )
        )
        yield Way(router, folders)


def _wait_items(way: Way, signal: Signal, items: int) -> None:
    wait_until(lambda: way.items(signal) >= items, f"{items} items of {signal.value}")
    assert way.items(signal) == items


@pytest.mark.parametrize("transport", ["grpc", "http"])
@pytest.mark.parametrize(
    ("signal", "kind"),
    [
        (Signal.LOGS, ()),
        (Signal.METRICS, ("--metric-type", "Gauge")),
        (Signal.METRICS, ("--metric-type", "Histogram")),
        (Signal.METRICS, ("--metric-type", "ExponentialHistogram")),
    ],
    ids=["logs", "gauge", "histogram", "exponential"],
)
def test_telemetrygen(
    way: Way, signal: Signal, kind: tuple[str, ...], transport: str
) -> None:
    """As many items as telemetrygen sends arrive, all of its service at one backend."""
    http = transport == "http"
    port = way.router.http_port if http else way.router.grpc_port
    servers.telemetrygen(
        f"--{signal.value}=120",
        "--rate=0",
        "--otlp-insecure",
        f"--otlp-endpoint=127.0.0.1:{port}",
        *(["--otlp-http"] if http else []),
        *kind,
        signal=signal.value,
    )
    _wait_items(way, signal, 120)
    assert sum(bool(payload) for payload in way.arrived(signal)) == 1


class _Kept:
    """Hands everything to an exporter and keeps it, encoded as the exporter does."""

    def __init__(self) -> None:
        self.requests: list[Message] = []

    def texts(self, signal: Signal) -> list[Any]:
        """The items that were handed over."""
        payload = b"".join(one.SerializeToString() for one in self.requests)
        return item_texts(payload, signal)


def _context(number: int) -> Context:
    """That of a span for every other record."""
    if number % 2:
        return Context()
    span = SpanContext(number + 1, number + 1, is_remote=False)
    return set_span_in_context(NonRecordingSpan(span), Context())


def _log(way: Way, transport: str, service: str, kept: _Kept) -> None:
    """Log through the SDK: structured bodies, some of them in a span."""
    grpc = GrpcLogs(f"http://127.0.0.1:{way.router.grpc_port}", insecure=True)
    http = HttpLogs(f"http://127.0.0.1:{way.router.http_port}/v1/logs")
    exporter = grpc if transport == "grpc" else http
    export = exporter.export

    def keep(batch: Any) -> Any:
        """Keep what is exported, and export it."""
        kept.requests.append(encode_logs(batch))
        return export(batch)

    vars(exporter)["export"] = keep
    provider = LoggerProvider(resource=Resource.create({"service.name": service}))
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = provider.get_logger("test", "1.0")
    for number in range(100):
        logger.emit(
            LogRecord(
                timestamp=1_700_000_000_000_000_000 + number,
                context=_context(number),
                severity_number=SeverityNumber.WARN,
                severity_text="WARN",
                body={"text": "Grüße", "n": number, "parts": [1.5, True]},
                attributes={"n": number, "half": number / 2, "even": not number % 2},
                event_name="greeting",
            )
        )
    provider.shutdown()


def _measure(way: Way, transport: str, service: str, kept: _Kept) -> None:
    """Measure through the SDK: sums, histograms, a gauge."""
    grpc = GrpcMetrics(f"http://127.0.0.1:{way.router.grpc_port}", insecure=True)
    http = HttpMetrics(f"http://127.0.0.1:{way.router.http_port}/v1/metrics")
    exporter = grpc if transport == "grpc" else http
    export = exporter.export

    def keep(data: Any, *arguments: Any, **named: Any) -> Any:
        """Keep what is exported, and export it."""
        kept.requests.append(encode_metrics(data))
        return export(data, *arguments, **named)

    vars(exporter)["export"] = keep
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=60_000)
    provider = MeterProvider(
        [reader], resource=Resource.create({"service.name": service})
    )
    meter = provider.get_meter("test", "1.0")
    counter = meter.create_counter("requests", unit="1", description="so many")
    histogram = meter.create_histogram("duration", unit="ms")
    balance = meter.create_up_down_counter("balance")
    gauge = meter.create_gauge("load")
    for number in range(50):
        counter.add(1, {"route": f"/{number % 5}"})
        histogram.record(number * 1.5, {"route": f"/{number % 5}"})
        balance.add(-number)
        gauge.set(number / 3)
    provider.shutdown()


@pytest.mark.parametrize("transport", ["grpc", "http"])
@pytest.mark.parametrize("signal", _SIGNALS)
def test_python_sdk(way: Way, signal: Signal, transport: str) -> None:
    """Exactly what applications hand to the SDK's exporter arrives, field by field, and
    each of them at one backend."""
    kept = _Kept()
    send = _log if signal is Signal.LOGS else _measure
    for service in ("cart", "checkout", "search", "user"):
        send(way, transport, service, kept)
    sent = kept.texts(signal)
    wanted = sum(_count(signal, one.SerializeToString()) for one in kept.requests)
    assert wanted >= 4 * 12
    _wait_items(way, signal, wanted)
    arrived = way.arrived(signal)
    assert item_texts(b"".join(arrived), signal) == sent
    services_of = [{one.resource for one in item_texts(it, signal)} for it in arrived]
    assert not services_of[0] & services_of[1]
