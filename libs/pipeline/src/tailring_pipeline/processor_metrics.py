"""What every processor counts, under the collector's names."""

from __future__ import annotations

from tailring_pipeline.consumer import Signal
from tailring_runtime.metrics import Counter, Metrics, MetricSpec

__all__ = ["INCOMING_ITEMS", "OUTGOING_ITEMS", "ProcessorMetrics"]

INCOMING_ITEMS = MetricSpec(
    name="otelcol_processor_incoming_items",
    kind="counter",
    help="Items that were passed to the processor.",
    unit="{items}",
    labels=("processor", "otel_signal"),
)
OUTGOING_ITEMS = MetricSpec(
    name="otelcol_processor_outgoing_items",
    kind="counter",
    help="Items that left the processor and were taken by the next component.",
    unit="{items}",
    labels=("processor", "otel_signal"),
)


class ProcessorMetrics:
    """The two series of one processor in pipelines of one signal."""

    def __init__(
        self, metrics: Metrics, processor_id: str, *, signal: Signal = Signal.TRACES
    ) -> None:
        labels = {"processor": processor_id, "otel_signal": signal.value}
        self.incoming_items: Counter = metrics.counter(INCOMING_ITEMS, **labels)
        self.outgoing_items: Counter = metrics.counter(OUTGOING_ITEMS, **labels)
