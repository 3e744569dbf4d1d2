"""What the process tells about itself, and how it is set up for its work."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import os
import resource
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tailring_runtime.metrics import Metrics, MetricSpec

__all__ = [
    "PROCESS_SPECS",
    "Identity",
    "add_process_metrics",
    "loop_factory",
    "tune_collector",
    "use_all_descriptors",
]

UPTIME = MetricSpec(
    "otelcol_process_uptime_seconds",
    "counter",
    "Seconds since the process started.",
    across="each",
)
CPU = MetricSpec(
    "otelcol_process_cpu_seconds",
    "counter",
    "CPU seconds, user and system, that the process used.",
    across="each",
)
RSS = MetricSpec(
    "otelcol_process_memory_rss_bytes",
    "gauge",
    "Resident memory of the process.",
    across="each",
)
PROCESS_SPECS = (UPTIME, CPU, RSS)

# Collections of the youngest generation before an older one is looked at. The middle
# one holds what lives for some requests; the oldest what lives for minutes.
MIDDLE_THRESHOLD = 20
OLDEST_THRESHOLD = 50


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this process is: the default resource of its telemetry."""

    service: str
    version: str
    instance: str = field(default_factory=lambda: str(uuid.uuid4()))

    def resource(self, written: Mapping[str, str | None]) -> dict[str, str]:
        """The resource attributes with ``written`` on top; None removes one."""
        attributes: dict[str, str | None] = {
            "service.name": self.service,
            "service.version": self.version,
            "service.instance.id": self.instance,
        }
        attributes.update(written)
        return {name: v for name, v in attributes.items() if v is not None}


def add_process_metrics(metrics: Metrics) -> None:
    """Expose uptime, CPU and resident memory of this process."""
    started_s = time.monotonic()
    metrics.counter_callback(UPTIME, lambda: time.monotonic() - started_s)
    metrics.counter_callback(CPU, time.process_time)
    metrics.gauge_callback(RSS, resident_bytes)


def resident_bytes() -> int:
    """Resident memory now; where /proc is missing, the most there ever was."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


def loop_factory(*, uvloop: bool = True) -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop's event loop where it is wanted and installed, else asyncio's own."""
    if uvloop and importlib.util.find_spec("uvloop") is not None:
        import uvloop as fast

        return fast.new_event_loop
    return asyncio.new_event_loop


def tune_collector(threshold: int) -> None:
    """Set up Python's garbage collector for a process that holds many objects long.

    What exists now is never looked at again; what comes is looked at rarely. Without
    this, each full collection walks every held trace. 0 switches the collector off.
    """
    gc.collect()
    gc.freeze()
    if threshold == 0:
        gc.disable()
    else:
        gc.set_threshold(threshold, MIDDLE_THRESHOLD, OLDEST_THRESHOLD)


def use_all_descriptors() -> None:
    """Allow this process as many open files as it may have, as Go's runtime does.

    The usual soft limit of 1024 is for programs that call select(); each connection of
    a client takes one.
    """
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
