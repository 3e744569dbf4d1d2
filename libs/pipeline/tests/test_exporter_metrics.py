"""The series of one exporter."""

from __future__ import annotations

import pytest

from tailring_pipeline import Door, ExporterMetrics, Signal
from tailring_runtime.metrics import Metrics


def test_every_series_is_there_from_the_start() -> None:
    """A loss that never happened is shown as zero, so that its growth can be seen."""
    metrics = Metrics()
    ExporterMetrics(metrics, "otlp")
    text = metrics.expose().decode()
    for door in Door:
        series = f'lost_spans_total{{door="{door.value}",exporter="otlp"}} 0.0'
        assert series in text


def test_removed_metrics_leave_no_series() -> None:
    """A backend that left for good leaves nothing on the metrics page."""
    metrics = Metrics()
    exporter = ExporterMetrics(metrics, "otlp/a:4317")
    exporter.watch_queue(lambda: 1, capacity=10)
    exporter.watch_in_flight(lambda: 1)
    assert b"a:4317" in metrics.expose()
    exporter.remove()
    assert b"a:4317" not in metrics.expose()


@pytest.mark.parametrize(
    ("signal", "items"),
    [
        (Signal.TRACES, "spans"),
        (Signal.LOGS, "log_records"),
        (Signal.METRICS, "metric_points"),
    ],
)
def test_each_signal_has_names_of_its_own(signal: Signal, items: str) -> None:
    """What is sent of each signal is counted under the collector's name for it."""
    metrics = Metrics()
    exporter = ExporterMetrics(metrics, "otlp", signal=signal)
    exporter.sent.add(1)
    exporter.send_failed.add(2)
    exporter.enqueue_failed.add(3)
    exporter.lost(Door.REFUSED, 4)
    exporter.watch_queue(lambda: 5, capacity=10)
    assert metrics.value(f"otelcol_exporter_sent_{items}") == 1
    assert metrics.value(f"otelcol_exporter_send_failed_{items}") == 2
    assert metrics.value(f"otelcol_exporter_enqueue_failed_{items}") == 3
    assert metrics.value(f"tailring_exporter_lost_{items}") == 4
    size = metrics.value("otelcol_exporter_queue_size", data_type=signal.value)
    assert size == 5


def test_removing_one_signal_leaves_the_others() -> None:
    """Two signals to one backend share a label and no series."""
    metrics = Metrics()
    logs = ExporterMetrics(metrics, "otlp/a:4317", signal=Signal.LOGS)
    traces = ExporterMetrics(metrics, "otlp/a:4317", signal=Signal.TRACES)
    traces.sent.add(7)
    logs.remove()
    assert metrics.value("otelcol_exporter_sent_spans", exporter="otlp/a:4317") == 7
    assert b"log_records" not in metrics.expose()
