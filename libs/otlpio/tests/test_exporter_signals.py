"""The exporter sends each signal to its own service and counts it by its name."""

from __future__ import annotations

import pytest
from grpc import StatusCode

from tailring_otlpio import OtlpExporter, OtlpExporterConfig
from tailring_pipeline import ITEMS, ExporterMetrics, Rejected, Signal
from tailring_runtime.metrics import Metrics
from tailring_testkit.backend import Answer, Backend, partial_success
from tailring_testkit.signals import batch_of, numbers_of


@pytest.mark.parametrize("signal", Signal)
async def test_each_signal_goes_to_its_service(signal: Signal) -> None:
    """A batch arrives as it is at the service of its signal; what the backend rejects,
    in part or as a whole, is counted in its items."""
    async with Backend() as backend:
        metrics = Metrics()
        exporter = OtlpExporter(
            OtlpExporterConfig.model_validate(
                {"endpoint": backend.address, "tls": {"insecure": True}}
            ),
            metrics=ExporterMetrics(metrics, "otlp", signal=signal),
        )
        await exporter.start()
        await exporter.consume(batch_of(signal, range(5)))
        assert not any(
            backend.received_of[other] for other in Signal if other is not signal
        )
        payload = b"".join(backend.received_of[signal])
        assert numbers_of(signal, payload) == dict.fromkeys(range(5), 1)
        # The three responses are the same on the wire.
        backend.answer = partial_success(2, "two are bad")
        await exporter.consume(batch_of(signal, range(5)))
        backend.answer = Answer(StatusCode.INVALID_ARGUMENT, "bad")
        with pytest.raises(Rejected):
            await exporter.consume(batch_of(signal, range(5)))
        items = ITEMS[signal]
        rejected = metrics.value(f"tailring_exporter_partial_rejected_{items}")
        assert rejected == 2
        assert metrics.value(f"otelcol_exporter_sent_{items}") == 10
        assert metrics.value(f"otelcol_exporter_send_failed_{items}") == 5
        exporter.close()
        await exporter.join(5.0)
        await exporter.terminate()
