"""The ``debug`` exporter: shows what arrives to a person.

``basic`` writes counts, ``normal`` adds a line for each item, ``detailed`` all of it.
Of the batches of one second the first ``sampling_initial`` are written and then each
``sampling_thereafter``-th; a batch that is not written is taken all the same. Batches
are decoded here, and writing to a file or a terminal blocks the event loop: this is for
looking at a pipeline, not for running one.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from tailring_pipeline import debug_logs, debug_metrics, debug_text
from tailring_pipeline.consumer import Batch, Rejected, Signal
from tailring_pipeline.debug_config import DebugConfig
from tailring_pipeline.exporter_metrics import ExporterMetrics
from tailring_pipeline.sending_queue import SendingQueue
from tailring_runtime.logs import get_logger
from tailring_runtime.losses import Loss

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["DebugExporter"]


class DebugExporter:
    """A `Stage` and `Consumer`; see the module."""

    def __init__(
        self,
        config: DebugConfig,
        *,
        metrics: ExporterMetrics,
        log: FilteringBoundLogger | None = None,
    ) -> None:
        log = log if log is not None else get_logger(exporter=metrics.exporter_id)
        self._writer = _Writer(config, log=log)
        self._queue = SendingQueue(
            config.sending_queue, consumer=self._writer, metrics=metrics, log=log
        )

    @property
    def name(self) -> str:
        """The component's id."""
        return self._queue.name

    @property
    def loss(self) -> Loss:
        """What was acknowledged early and is lost."""
        return self._queue.loss

    async def consume(self, batch: Batch) -> None:
        """Write the batch, or not, as sampling says; raises `Rejected` on garbage."""
        await self._queue.consume(batch)

    async def start(self) -> None:
        """Open the output files. Raises OSError when one cannot be opened."""
        self._writer.open()
        await self._queue.start()

    def close(self) -> None:
        """Refuse new batches."""
        self._queue.close()

    async def join(self, timeout_s: float) -> None:
        """Wait until what is queued was written."""
        await self._queue.join(timeout_s)

    async def terminate(self) -> None:
        """Give up what is queued and close the output files."""
        await self._queue.terminate()
        self._writer.close()


class _Writer:
    """Writes one batch after another, to the log or to the output paths."""

    def __init__(self, config: DebugConfig, *, log: FilteringBoundLogger) -> None:
        self._config = config
        self._log = log
        self._sampling = _Sampling(
            initial=config.sampling_initial, thereafter=config.sampling_thereafter
        )
        self._files: list[TextIO] = []

    def open(self) -> None:
        if not self._config.use_internal_logger:
            for path in self._paths():
                if path in ("stdout", "stderr"):
                    continue
                # Open for the exporter's whole life; `close` closes it.
                file = Path(path).open("a", encoding="utf-8")  # noqa: SIM115
                self._files.append(file)

    def close(self) -> None:
        for file in self._files:
            file.close()
        self._files.clear()

    async def consume(self, batch: Batch) -> None:
        if not self._sampling.takes(asyncio.get_running_loop().time()):
            return
        form = _FORMS[batch.signal]
        try:
            request = form.request.FromString(batch.payload)
        except DecodeError as error:
            raise Rejected("malformed", str(error)) from error
        self._write(form.title, {**form.counts(request), form.items: batch.items})
        lines = form.lines.get(self._config.verbosity)
        if lines is not None:
            self._write("".join(f"{line}\n" for line in lines(request)), {})

    def _write(self, message: str, fields: Mapping[str, int]) -> None:
        if self._config.use_internal_logger:
            self._log.info(message, **fields)
            return
        line = f"{message}\t{json.dumps(fields)}\n" if fields else f"{message}\n"
        for stream in self._streams():
            stream.write(line)
            stream.flush()

    def _streams(self) -> list[TextIO]:
        # Looked up each time: a supervisor may have exchanged them.
        standard = {"stdout": sys.stdout, "stderr": sys.stderr}
        named = [standard[path] for path in self._paths() if path in standard]
        return [*named, *self._files]

    def _paths(self) -> tuple[str, ...]:
        return self._config.output_paths or ("stdout",)


@dataclass(frozen=True, slots=True)
class _Form:
    """How batches of a signal are shown; ``lines`` by verbosity, basic has none."""

    title: str
    request: type[Message]
    counts: Callable[[Any], dict[str, int]]
    items: str
    lines: Mapping[str, Callable[[Any], Iterator[str]]]


_FORMS: Mapping[Signal, _Form] = {
    Signal.TRACES: _Form(
        title="Traces",
        request=ExportTraceServiceRequest,
        counts=lambda request: {"resource spans": len(request.resource_spans)},
        items="spans",
        lines={
            "normal": debug_text.normal_lines,
            "detailed": debug_text.detailed_lines,
        },
    ),
    Signal.LOGS: _Form(
        title="Logs",
        request=ExportLogsServiceRequest,
        counts=lambda request: {"resource logs": len(request.resource_logs)},
        items="log records",
        lines={
            "normal": debug_logs.normal_lines,
            "detailed": debug_logs.detailed_lines,
        },
    ),
    Signal.METRICS: _Form(
        title="Metrics",
        request=ExportMetricsServiceRequest,
        counts=lambda request: {
            "resource metrics": len(request.resource_metrics),
            "metrics": debug_metrics.count_metrics(request),
        },
        items="data points",
        lines={
            "normal": debug_metrics.normal_lines,
            "detailed": debug_metrics.detailed_lines,
        },
    ),
}


class _Sampling:
    """Of each second the first ``initial``, then each ``thereafter``-th (0: none)."""

    def __init__(self, *, initial: int, thereafter: int) -> None:
        self._initial = initial
        self._thereafter = thereafter
        self._second_ends_s = float("-inf")
        self._count = 0

    def takes(self, now_s: float) -> bool:
        if now_s >= self._second_ends_s:
            self._second_ends_s = now_s + 1
            self._count = 0
        self._count += 1
        beyond = self._count - self._initial
        if beyond <= 0:
            return True
        return self._thereafter > 0 and beyond % self._thereafter == 0
