"""The receiver and the exporter keep the contract of every stage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest

from tailring_otlpio import (
    OtlpExporter,
    OtlpExporterConfig,
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
