"""The debug exporter's texts of logs and metrics, against the collector's own.

The texts of ``testdata`` are what the collector's debug exporter wrote for the request
beside them (v0.161.0).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import Parse
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from structlog.testing import capture_logs

from tailring_pipeline import (
    Batch,
    DebugConfig,
    DebugExporter,
    ExporterMetrics,
    Rejected,
    Signal,
)
from tailring_runtime.metrics import Metrics
from tailring_testkit.virtual_time import virtual_time

TESTDATA = Path(__file__).parent / "testdata"
REQUESTS: dict[Signal, type[Message]] = {
    Signal.LOGS: ExportLogsServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
}


async def _shown(batch: Batch, **written: Any) -> list[dict[str, Any]]:
    exporter = DebugExporter(
        DebugConfig.model_validate(written),
        metrics=ExporterMetrics(Metrics(), "debug", signal=batch.signal),
    )
    await exporter.start()
    with capture_logs() as logs:
        await exporter.consume(batch)
    await exporter.terminate()
    return [dict(line) for line in logs]


def _batch(name: str, signal: Signal, items: int = 1) -> Batch:
    text = (TESTDATA / f"debug_{name}.json").read_text()
    message = Parse(text, REQUESTS[signal]())
    return Batch(message.SerializeToString(), items, signal)


@pytest.mark.parametrize("verbosity", ["normal", "detailed"])
@pytest.mark.parametrize(
    ("name", "signal"),
    [
        ("logs", Signal.LOGS),
        ("odd_logs", Signal.LOGS),
        ("metrics", Signal.METRICS),
        ("odd_metrics", Signal.METRICS),
    ],
)
@virtual_time
async def test_the_text_is_the_collectors(
    name: str, signal: Signal, verbosity: str
) -> None:
    """Each line of a request is what the collector's debug exporter writes."""
    counts, text = await _shown(_batch(name, signal), verbosity=verbosity)
    expected = (TESTDATA / f"debug_{name}_{verbosity}.txt").read_text()
    assert text["event"].splitlines() == expected.splitlines()
    assert counts["event"] == signal.value.title()


@pytest.mark.parametrize(
    ("name", "signal", "counts"),
    [
        ("logs", Signal.LOGS, {"resource logs": 2, "log records": 3}),
        (
            "metrics",
            Signal.METRICS,
            {"resource metrics": 1, "metrics": 6, "data points": 3},
        ),
    ],
)
@virtual_time
async def test_basic_counts_what_the_signal_has(
    name: str, signal: Signal, counts: dict[str, int]
) -> None:
    """The counts have the collector's names for each signal."""
    (line,) = await _shown(_batch(name, signal, items=3))
    title = signal.value.title()
    said = {"event": title, "exporter": "debug", "log_level": "info"}
    assert line == {**said, **counts}
    assert json.dumps(counts) == json.dumps({key: line[key] for key in counts})


@virtual_time
async def test_a_request_of_another_signal_is_rejected() -> None:
    """What is no request of its signal is a permanent failure."""
    with pytest.raises(Rejected):
        await _shown(Batch(b"\xff\xff", 1, Signal.METRICS))
