"""The series of one exporter."""

from __future__ import annotations

from tailring_pipeline import Door, ExporterMetrics
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
