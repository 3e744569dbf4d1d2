"""What a queue on disk counts and logs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tailring_pipeline.consumer import Signal
from tailring_pipeline.segment_log import Recovered
from tailring_pipeline.segment_reading import DamageAt
from tailring_runtime.metrics import Counter, Metrics, MetricSpec

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["StorageMetrics"]

_LABELS = ("exporter", "data_type")

BYTES = MetricSpec(
    "tailring_storage_bytes",
    "gauge",
    "What the queue of this exporter takes on disk. A segment of 16 MiB is given back"
    " when all of its records were delivered.",
    unit="By",
    labels=_LABELS,
)
WRITE_FAILURES = MetricSpec(
    "tailring_storage_write_failures",
    "counter",
    "Writes that the disk did not take; their senders were refused and come again."
    " Growth means a full or a broken disk.",
    labels=_LABELS,
)
READ_FAILURES = MetricSpec(
    "tailring_storage_read_failures",
    "counter",
    "Reads that the disk, or a limit of the process, did not let through. Nothing is"
    " lost by it: they are tried again. Growth means a broken disk or too few files"
    " (RLIMIT_NOFILE).",
    labels=_LABELS,
)
DAMAGED = MetricSpec(
    "tailring_storage_damaged_records",
    "counter",
    "Records whose checksum was wrong; they are lost, and set aside in the folder"
    " damaged. Any growth means a bad disk or somebody else who writes there.",
    labels=_LABELS,
)
RECOVERED_RECORDS = MetricSpec(
    "tailring_storage_recovered_records",
    "counter",
    "Records that a process before left and this one found at its start.",
    labels=_LABELS,
)
RECOVERED_ITEMS = MetricSpec(
    "tailring_storage_recovered_items",
    "counter",
    "Spans, log records or data points in the records that were recovered.",
    labels=_LABELS,
)


class StorageMetrics:
    """The series and log lines of one exporter and signal."""

    def __init__(
        self,
        metrics: Metrics,
        exporter_id: str,
        *,
        log: FilteringBoundLogger,
        signal: Signal = Signal.TRACES,
    ) -> None:
        labels = {"exporter": exporter_id, "data_type": signal.value}
        self.log = log
        self._metrics = metrics
        self._labels = labels
        self.write_failures: Counter = metrics.counter(WRITE_FAILURES, **labels)
        self._read_failures = metrics.counter(READ_FAILURES, **labels)
        self._damaged = metrics.counter(DAMAGED, **labels)
        self._records = metrics.counter(RECOVERED_RECORDS, **labels)
        self._items = metrics.counter(RECOVERED_ITEMS, **labels)

    def watch_bytes(self, read: Callable[[], float]) -> None:
        """Expose what ``read`` answers as the bytes on disk."""
        self._metrics.gauge_callback(BYTES, read, **self._labels)

    def tell(self, recovered: Recovered, *, folder: Path) -> None:
        """Count and log what was found at the start."""
        self._records.add(recovered.records)
        self._items.add(recovered.items)
        self.tell_damages(recovered.damages)
        for held in recovered.in_use:
            self.log.warning(
                "a queue on disk that was left is still in use, its records wait for"
                " the next start",
                folder=str(held.folder),
                pid=held.owner or "unknown",
            )
        for path, error in recovered.unread:
            self._read_failures.add()
            self.log.error(
                "segment of the queue on disk cannot be read, it stays for the next"
                " start",
                file=str(path),
                error=str(error),
            )
        write = self.log.warning if recovered.damages else self.log.info
        write(
            "queue on disk recovered",
            folder=str(folder),
            records=recovered.records,
            items=recovered.items,
            bytes=recovered.nbytes,
            damaged=sum(one.damage.records for one in recovered.damages),
            unfinished=recovered.unfinished,
            adopted_segments=recovered.adopted,
        )

    def tell_read_failure(self, error: OSError, *, again_s: float) -> None:
        """Count and log that the backlog could not be read on."""
        self._read_failures.add()
        self.log.error(
            "queue on disk cannot be read now, nothing is lost",
            error=str(error),
            retry_s=round(again_s, 3),
        )

    def tell_damages(self, damages: Iterable[DamageAt]) -> None:
        """Count and log each record that is lost."""
        for one in damages:
            self._damaged.add(one.damage.records)
            self.log.error(
                "damaged record in the queue on disk",
                file=str(one.path),
                offset=one.damage.offset,
                bytes=one.damage.end - one.damage.offset,
                records=one.damage.records,
                items=one.damage.items,
                error=one.damage.why,
                set_aside=one.aside,
            )
