"""What every exporter counts, under the collector's names.

``exporter`` is the component id of the configuration; a part that stands for one of
several backends of a component appends its endpoint, so that each backend has a series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tailring_pipeline.consumer import Signal
from tailring_pipeline.doors import Door
from tailring_pipeline.per_signal import per_signal
from tailring_runtime.metrics import Counter, Metrics, MetricSpec

__all__ = [
    "ENQUEUE_FAILED",
    "IN_FLIGHT_REQUESTS",
    "LOST",
    "QUEUE_CAPACITY",
    "QUEUE_SIZE",
    "SEND_FAILED",
    "SENT",
    "ExporterMetrics",
]

SENT = per_signal(
    "otelcol_exporter_sent_{items}",
    help="{items} that the destination acknowledged.",
    labels=("exporter",),
)
SEND_FAILED = per_signal(
    "otelcol_exporter_send_failed_{items}",
    help="{items} whose sending failed for good: retries included, none is left.",
    labels=("exporter",),
)
ENQUEUE_FAILED = per_signal(
    "otelcol_exporter_enqueue_failed_{items}",
    help="{items} refused at the exporter's door, because its queue was full or"
    " closed.",
    labels=("exporter",),
)
LOST = per_signal(
    "tailring_exporter_lost_{items}",
    help="{items} lost after the exporter became accountable for them, by door: refused"
    " (no retry was left), rejected (for good), abandoned (their sender went away"
    " before they arrived; who has them sends again), terminated (the process stopped"
    " first), damaged (the disk gave something else back).",
    labels=("exporter", "door"),
)
QUEUE_SIZE = MetricSpec(
    name="otelcol_exporter_queue_size",
    kind="gauge",
    help="What the sending queue holds now, in the unit of its sizer.",
    unit="{batches}",
    labels=("exporter", "data_type"),
)
QUEUE_CAPACITY = MetricSpec(
    name="otelcol_exporter_queue_capacity",
    kind="gauge",
    help="What the sending queue can hold, in the unit of its sizer.",
    unit="{batches}",
    labels=("exporter", "data_type"),
)
IN_FLIGHT_REQUESTS = MetricSpec(
    name="otelcol_exporter_in_flight_requests",
    kind="gauge",
    help="Requests being sent now, waits between retries included.",
    unit="{request}",
    labels=("exporter", "data_type"),
)


class ExporterMetrics:
    """The series of one exporter and signal.

    `remove` them when a backend leaves for good.
    """

    def __init__(
        self,
        metrics: Metrics,
        exporter_id: str,
        *,
        signal: Signal = Signal.TRACES,
        counts_sending: bool = True,
        doors: Iterable[Door] = Door,
    ) -> None:
        """``doors``: by which of them this exporter can lose items; each has a series
        from the start, so that its growth from zero can be seen.

        Not ``counts_sending``: what is sent and what fails is counted elsewhere, for
        each backend, and must not be counted a second time under this id."""
        self.exporter_id = exporter_id
        self.signal = signal
        self.registry = metrics
        self._own = {"exporter": exporter_id}
        self._typed = {"exporter": exporter_id, "data_type": signal.value}
        self.sent = Counter()
        self.send_failed = Counter()
        if counts_sending:
            self.sent = metrics.counter(SENT[signal], **self._own)
            self.send_failed = metrics.counter(SEND_FAILED[signal], **self._own)
        self.enqueue_failed: Counter = metrics.counter(
            ENQUEUE_FAILED[signal], **self._own
        )
        self._lost = {
            door: metrics.counter(LOST[signal], door=door.value, **self._own)
            for door in doors
        }

    def lost(self, door: Door, items: int) -> None:
        """Count ``items`` that left by ``door``."""
        self._lost[door].add(items)

    def watch_queue(self, size: Callable[[], float], *, capacity: float) -> None:
        """Expose what ``size`` answers, and the capacity, both in the sizer's unit."""
        self.registry.gauge_callback(QUEUE_SIZE, size, **self._typed)
        self.registry.gauge(QUEUE_CAPACITY, **self._typed).set(capacity)

    def watch_in_flight(self, requests: Callable[[], float]) -> None:
        """Expose what ``requests`` answers as the requests in flight."""
        self.registry.gauge_callback(IN_FLIGHT_REQUESTS, requests, **self._typed)

    def remove(self) -> None:
        """Forget every series of this exporter; the object must not be used again."""
        for specs in (SENT, SEND_FAILED, ENQUEUE_FAILED):
            self.registry.remove(specs[self.signal], **self._own)
        for spec in (QUEUE_SIZE, QUEUE_CAPACITY, IN_FLIGHT_REQUESTS):
            self.registry.remove(spec, **self._typed)
        for door in self._lost:
            self.registry.remove(LOST[self.signal], door=door.value, **self._own)
