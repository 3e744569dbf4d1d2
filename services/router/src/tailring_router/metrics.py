"""The router's metrics: a closed list, and the few places that add to them.

Spans leave the router by one door each, so that at any time

    received = held + sum over all doors

Counted per backend (label ``exporter`` = ``<component id>/<endpoint>``): what was
sent and what failed for good. The same spans are not counted a second time under
the bare component id, so ``sum by (exporter)`` shows every span once.
"""

from __future__ import annotations

from enum import Enum

from tailring_pipeline import ExporterMetrics
from tailring_router.part import Outcome, Result
from tailring_runtime.metrics import Metrics, MetricSpec

__all__ = ["SPECS", "BackendMetrics", "Door", "RouterMetrics"]


class Door(Enum):
    """How a span leaves the router; the value is the metric's label."""

    DELIVERED = "delivered"
    """Acknowledged by its backend."""
    REFUSED = "refused"
    """Given back to the sender, who was told to send it again."""
    REJECTED = "rejected"
    """Refused for good, by its backend or as malformed; lost."""
    EXPIRED = "retries_exhausted"
    """Acknowledged early and then given up after every retry; lost."""
    ABANDONED = "abandoned"
    """Its sender stopped waiting before it was sent; the sender sends again."""
    SHUTDOWN = "shutdown"
    """Acknowledged early and still held when the drain's deadline passed; lost."""


RECEIVED = MetricSpec(
    name="tailring_router_received_spans",
    kind="counter",
    unit="{spans}",
    labels=("exporter",),
    help="Spans that reached the load-balancing exporter.",
)
LEFT = MetricSpec(
    name="tailring_router_left_spans",
    kind="counter",
    unit="{spans}",
    labels=("exporter", "door"),
    help="Spans that left the load-balancing exporter, by the door they took.",
)
HELD = MetricSpec(
    name="tailring_router_held_spans",
    kind="gauge",
    unit="{spans}",
    labels=("exporter",),
    help="Spans that were received and have not left.",
)
MOVED = MetricSpec(
    name="tailring_router_moved_spans",
    kind="counter",
    unit="{spans}",
    labels=("exporter",),
    help="Spans that were partitioned again because their backend left the ring.",
)
LATENCY = MetricSpec(
    name="otelcol_loadbalancer_backend_latency",
    kind="histogram",
    unit="ms",
    labels=("endpoint",),
    help="Time until a backend answered one request.",
    buckets=(5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000),
)
OUTCOME = MetricSpec(
    name="otelcol_loadbalancer_backend_outcome",
    kind="counter",
    unit="{outcomes}",
    labels=("endpoint", "success"),
    help="Requests to a backend by whether it took them.",
)
SPECS = (RECEIVED, LEFT, HELD, MOVED, LATENCY, OUTCOME)


class RouterMetrics:
    """What the exporter as a whole counts; ``held_spans`` is received minus left."""

    def __init__(self, metrics: Metrics, exporter: str) -> None:
        self._metrics = metrics
        self.exporter = exporter
        self.received = metrics.counter(RECEIVED, exporter=exporter)
        self.moved = metrics.counter(MOVED, exporter=exporter)
        self._left = {
            door: metrics.counter(LEFT, exporter=exporter, door=door.value)
            for door in Door
        }
        metrics.gauge_callback(HELD, self.held_spans, exporter=exporter)

    def left(self, door: Door, spans: int) -> None:
        """``spans`` went through ``door``."""
        if spans:
            self._left[door].add(spans)

    def left_by(self, door: Door) -> int:
        """Spans that went through ``door`` so far."""
        return self._left[door].value

    def held_spans(self) -> int:
        """Received and not left."""
        left = sum(counter.value for counter in self._left.values())
        return self.received.value - left

    def backend(self, address: str) -> BackendMetrics:
        """The counters of one backend; `BackendMetrics.remove` ends its series."""
        return BackendMetrics(self._metrics, self.exporter, address)


class BackendMetrics:
    """What one backend was sent and how it answered."""

    def __init__(self, metrics: Metrics, exporter: str, address: str) -> None:
        self._metrics = metrics
        self._address = address
        self.exporter = ExporterMetrics(metrics, f"{exporter}/{address}", doors=())
        self._latency = metrics.histogram(LATENCY, endpoint=address)
        self._outcome = {
            success: metrics.counter(
                OUTCOME, endpoint=address, success="true" if success else "false"
            )
            for success in (True, False)
        }

    def tried(self, result: Result, *, spans: int, took_ms: float) -> None:
        """One request of ``spans`` was answered, or not, after ``took_ms``."""
        self._latency.observe(took_ms)
        delivered = result.outcome is Outcome.DELIVERED
        self._outcome[delivered].add()
        if delivered:
            self.exporter.sent_spans.add(spans - result.rejected)
            self.exporter.send_failed_spans.add(result.rejected)

    def gave_up(self, spans: int) -> None:
        """``spans`` will not be tried again at this backend."""
        self.exporter.send_failed_spans.add(spans)

    def remove(self) -> None:
        """End the series of this backend; it left the ring."""
        self.exporter.remove()
        self._metrics.remove(LATENCY, endpoint=self._address)
        for success in ("true", "false"):
            self._metrics.remove(OUTCOME, endpoint=self._address, success=success)
