"""What the batch processor counts, under the collector's names."""

from __future__ import annotations

from enum import Enum

from tailring_pipeline.consumer import Batch, Signal
from tailring_pipeline.doors import Door
from tailring_pipeline.processor_metrics import ProcessorMetrics
from tailring_runtime.metrics import Counter, Metrics, MetricSpec

__all__ = [
    "BATCH_SEND_SIZE",
    "LOST_ITEMS",
    "SIZE_TRIGGER_SEND",
    "TIMEOUT_TRIGGER_SEND",
    "BatchMetrics",
    "Trigger",
]

SIZE_TRIGGER_SEND = MetricSpec(
    name="otelcol_processor_batch_batch_size_trigger_send",
    kind="counter",
    help="Batches that were sent because they were large enough.",
    unit="{times}",
    labels=("processor",),
)
TIMEOUT_TRIGGER_SEND = MetricSpec(
    name="otelcol_processor_batch_timeout_trigger_send",
    kind="counter",
    help="Batches that were sent because their first member had waited long enough.",
    unit="{times}",
    labels=("processor",),
)
BATCH_SEND_SIZE = MetricSpec(
    name="otelcol_processor_batch_batch_send_size",
    kind="histogram",
    help="Items of the batches that were sent.",
    unit="{units}",
    labels=("processor",),
    buckets=(
        10, 25, 50, 75, 100, 250, 500, 750, 1000, 2000, 3000, 4000, 5000, 6000, 7000,
        8000, 9000, 10000, 20000, 30000, 50000, 100000,
    ),
)  # fmt: skip
LOST_ITEMS = MetricSpec(
    name="tailring_processor_lost_items",
    kind="counter",
    help="Items lost because their sender was gone when they failed, by door: refused,"
    " rejected (for good), abandoned (the sender left before they were sent on or"
    " answered; who has them sends again), terminated (the process stopped first).",
    unit="{items}",
    labels=("processor", "door"),
)


class Trigger(Enum):
    """Why a batch was sent."""

    SIZE = "size"
    TIMEOUT = "timeout"


class BatchMetrics:
    """The series of one batch processor; those of each signal bear its name or are
    shared, as upstream has it."""

    def __init__(
        self, metrics: Metrics, name: str, *, signal: Signal = Signal.TRACES
    ) -> None:
        self._items = ProcessorMetrics(metrics, name, signal=signal)
        self._triggers = {
            Trigger.SIZE: metrics.counter(SIZE_TRIGGER_SEND, processor=name),
            Trigger.TIMEOUT: metrics.counter(TIMEOUT_TRIGGER_SEND, processor=name),
        }
        self._lost: dict[Door, Counter] = {
            door: metrics.counter(LOST_ITEMS, processor=name, door=door.value)
            for door in Door
            if door is not Door.DAMAGED  # it is never on disk here
        }
        self._send_size = metrics.histogram(BATCH_SEND_SIZE, processor=name)

    def incoming(self, items: int) -> None:
        """Count what was handed in, taken or not."""
        self._items.incoming_items.add(items)

    def lost(self, door: Door, items: int) -> None:
        """Count ``items`` that left by ``door``."""
        self._lost[door].add(items)

    def triggered(self, trigger: Trigger) -> None:
        """Count why a batch goes."""
        self._triggers[trigger].add()

    def sent(self, batch: Batch, *, untaken: int) -> None:
        """Count a batch that was sent, ``untaken`` items of which nobody took."""
        taken = batch.items - untaken
        self._items.outgoing_items.add(taken)
        if taken:
            self._send_size.observe(batch.items)
