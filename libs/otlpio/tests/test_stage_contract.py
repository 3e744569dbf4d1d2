"""The receiver and the exporters keep the contract of every stage."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import grpc
import pytest

from tailring_otlpio import (
    FileExporter,
    FileExporterConfig,
    Files,
    OtlpExporter,
    OtlpExporterConfig,
    OtlpHttpExporterConfig,
    OtlpReceiver,
    OtlpReceiverConfig,
    TlsClientConfig,
)
from tailring_otlpwire import count_spans
from tailring_pipeline import ExporterMetrics, Signal
from tailring_runtime.metrics import Metrics
from tailring_testkit.sink import Sink
from tailring_testkit.stage_contract import (
    ConsumingContract,
    StageContract,
    StageSubject,
)

FREE = {"endpoint": "127.0.0.1:0"}


class _Keep(grpc.GenericRpcHandler):
    """Keeps the payload of every call."""

    def __init__(self, received: list[bytes]) -> None:
        self._received = received

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Any method is the export."""
        return grpc.unary_unary_rpc_method_handler(self._take)

    def _take(self, payload: bytes, _context: grpc.ServicerContext) -> bytes:
        self._received.append(payload)
        return b""


@contextmanager
def _threaded_backend() -> Iterator[tuple[str, list[bytes]]]:
    """A backend without tasks: the contract counts those of the event loop."""
    received: list[bytes] = []
    server = grpc.server(ThreadPoolExecutor(4), handlers=[_Keep(received)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", received
    finally:
        server.stop(None).wait()


class TestReceiver(StageContract):
    """A receiver on free ports."""

    @pytest.fixture
    def subject(self) -> OtlpReceiver:
        """A receiver of both protocols that was not started."""
        config = OtlpReceiverConfig.model_validate(
            {"protocols": {"grpc": FREE, "http": FREE}}
        )
        return OtlpReceiver(
            config, consumers={Signal.TRACES: Sink()}, metrics=Metrics()
        )


class TestExporter(ConsumingContract):
    """An exporter to a backend that answers OK."""

    @pytest.fixture
    async def subject(self) -> AsyncIterator[StageSubject]:
        """An exporter that was not started."""
        with _threaded_backend() as (address, received):
            exporter = OtlpExporter(
                OtlpExporterConfig(
                    endpoint=address, tls=TlsClientConfig(insecure=True)
                ),
                metrics=ExporterMetrics(Metrics(), "otlp"),
            )
            yield StageSubject(exporter, lambda: sum(map(count_spans, received)))
            await exporter.terminate()


class _Quiet(BaseHTTPRequestHandler):
    """Keeps the body of every POST and answers 200."""

    received: ClassVar[list[bytes]]

    def do_POST(self) -> None:
        """Take one request."""
        size = int(self.headers["Content-Length"])
        self.received.append(gzip.decompress(self.rfile.read(size)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _threaded_http_backend() -> Iterator[tuple[str, list[bytes]]]:
    """The same over HTTP."""
    received: list[bytes] = []
    handler = type("_Handler", (_Quiet,), {"received": received})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", received
        finally:
            server.shutdown()
            thread.join()


class TestHttpExporter(ConsumingContract):
    """An exporter over HTTP to a backend that answers 200."""

    @pytest.fixture
    async def subject(self) -> AsyncIterator[StageSubject]:
        """An exporter that was not started."""
        with _threaded_http_backend() as (url, received):
            exporter = OtlpExporter(
                OtlpHttpExporterConfig(endpoint=url),
                metrics=ExporterMetrics(Metrics(), "otlp_http"),
            )
            yield StageSubject(exporter, lambda: sum(map(count_spans, received)))
            await exporter.terminate()


class TestFileExporter(ConsumingContract):
    """An exporter to a file."""

    @pytest.fixture
    async def subject(self, tmp_path: Path) -> AsyncIterator[StageSubject]:
        """An exporter that was not started."""
        path = tmp_path / "out"
        files = Files(FileExporterConfig(path=str(path), format="proto"))
        exporter = FileExporter(files, metrics=ExporterMetrics(Metrics(), "file"))
        yield StageSubject(exporter, lambda: _spans_in(path))
        await exporter.terminate()


def _spans_in(path: Path) -> int:
    written, pos, spans = path.read_bytes() if path.exists() else b"", 0, 0
    while pos < len(written):
        end = pos + 4 + int.from_bytes(written[pos : pos + 4], "big")
        spans += count_spans(written[pos + 4 : end])
        pos = end
    return spans
