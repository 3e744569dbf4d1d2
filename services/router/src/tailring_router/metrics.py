"""The router's metrics: a closed list, and the few places that add to them.

Items (spans, log records, data points) leave the router by one door each, so that at
any time, for each signal

    received = held + sum over all doors

Counted per backend (label ``exporter`` = ``<component id>/<endpoint>``): what was
sent and what failed for good. The same items are not counted a second time under
the bare component id, so ``sum by (exporter)`` shows every item once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from tailring_pipeline import ExporterMetrics, Signal, per_signal
from tailring_router.part import Outcome, Result
from tailring_runtime.metrics import Counter, Histogram, Metrics, MetricSpec

__all__ = ["BackendMetrics", "Door", "EndpointSeries", "RouterMetrics"]


class Door(Enum):
    """How an item leaves the router; the value is the metric's label."""

    DELIVERED = "delivered"
    """Acknowledged by its backend."""
    REPEATED = "repeated"
    """Acknowledged by its backend before, in a request that was refused as a whole, or
    whose sender left or was answered about his deadline, and that came again; not sent
    a second time."""
    REFUSED = "refused"
    """Given back to the sender, who was told to send it again."""
    REJECTED = "rejected"
    """Refused for good, by its backend or as malformed; lost."""
    UNROUTABLE = "unroutable"
    """Has no routing key (metrics without service.name, routed by service); lost."""
    EXPIRED = "retries_exhausted"
    """Acknowledged early and then given up after every retry; lost."""
    ABANDONED = "abandoned"
    """Its sender stopped waiting and it had not arrived; the sender sends again."""
    SHUTDOWN = "shutdown"
    """Acknowledged early and still held when the drain's deadline passed; lost."""


RECEIVED = per_signal(
    "tailring_router_received_{items}",
    help="{items} that reached the load-balancing exporter.",
    labels=("exporter",),
)
LEFT = per_signal(
    "tailring_router_left_{items}",
    help="{items} that left the load-balancing exporter, by the door they took:"
    " delivered, repeated (had arrived before, not sent again), refused (given back to"
    " the sender), rejected (for good), unroutable (no routing key), retries_exhausted"
    " and shutdown (acknowledged early, then given up or still held at the end),"
    " abandoned (the sender stopped waiting and sends again). Lost are those rejected,"
    " unroutable, retries_exhausted and shutdown.",
    labels=("exporter", "door"),
)
HELD = per_signal(
    "tailring_router_held_{items}",
    kind="gauge",
    help="{items} that were received and have not left.",
    labels=("exporter",),
)
MOVED = per_signal(
    "tailring_router_moved_{items}",
    help="{items} that were partitioned again because their backend left the ring.",
    labels=("exporter",),
)
RETRIED = per_signal(
    "tailring_router_retried_{items}",
    help="{items} that were partitioned again by level 1's retry.",
    labels=("exporter",),
)
DOUBTED = per_signal(
    "tailring_router_doubted_{items}",
    help="{items} in requests that a backend never answered: it did not in time, or the"
    " connection broke. They are sent again, so at most as many have come twice.",
    labels=("exporter",),
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

RING_HASH = MetricSpec(
    name="tailring_router_ring_hash",
    kind="gauge",
    across="each",
    labels=("exporter", "data_type"),
    help="The first 12 hex digits of the ring's digest, as a number; 0 without"
    " backends. Routers of one fleet that differ send items of one trace to different"
    " backends: alert when max and min over the routers are apart for minutes.",
)


class RouterMetrics:
    """What the exporter as a whole counts."""

    def __init__(
        self,
        metrics: Metrics,
        exporter: str,
        *,
        signal: Signal = Signal.TRACES,
    ) -> None:
        """``metrics`` is the exporter's own: others add to series of its names only
        through a child of their own, and what it ends is none of theirs."""
        self.registry = metrics
        self.endpoints = EndpointSeries(metrics)
        self.exporter = exporter
        self.signal = signal
        self.received = metrics.counter(RECEIVED[signal], exporter=exporter)
        self.moved = metrics.counter(MOVED[signal], exporter=exporter)
        self.retried = metrics.counter(RETRIED[signal], exporter=exporter)
        self.ring_hash = metrics.gauge(
            RING_HASH, exporter=exporter, data_type=signal.value
        )
        self.doubted = metrics.counter(DOUBTED[signal], exporter=exporter)
        self._left = {
            door: metrics.counter(LEFT[signal], exporter=exporter, door=door.value)
            for door in Door
        }

    def watch_held(self, held_items: Callable[[], int]) -> None:
        """Expose what ``held_items`` answers: items that have not left."""
        self.registry.gauge_callback(
            HELD[self.signal], held_items, exporter=self.exporter
        )

    def left(self, door: Door, items: int) -> None:
        """``items`` went through ``door``."""
        if items:
            self._left[door].add(items)

    def left_by(self, door: Door) -> int:
        """Spans that went through ``door`` so far."""
        return self._left[door].value

    def held_items(self) -> int:
        """Received and not left, by the counters alone."""
        left = sum(counter.value for counter in self._left.values())
        return self.received.value - left

    def backend(self, address: str) -> BackendMetrics:
        """The counters of one backend; `BackendMetrics.remove` ends its series."""
        return BackendMetrics(self, address)


@dataclass(slots=True)
class _Endpoint:
    users: int
    latency: Histogram
    outcome: dict[bool, Counter]


class EndpointSeries:
    """The series that bear an endpoint and no exporter: two exporters, or a backend
    that came back while its former connection drains, share them."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._endpoints: dict[str, _Endpoint] = {}
        self._exporters: dict[tuple[str, Signal], int] = {}

    def enter(self, exporter: ExporterMetrics) -> None:
        """One more uses the series of an exporter's label and signal."""
        key = (exporter.exporter_id, exporter.signal)
        self._exporters[key] = self._exporters.get(key, 0) + 1

    def leave(self, exporter: ExporterMetrics) -> bool:
        """One less uses them; whether it was the last one."""
        key = (exporter.exporter_id, exporter.signal)
        left = self._exporters.pop(key) - 1
        if left:
            self._exporters[key] = left
        return not left

    def open(self, endpoint: str) -> _Endpoint:
        """The series of an endpoint; one `close` for each `open`."""
        found = self._endpoints.get(endpoint)
        if found is None:
            outcome = {
                success: self._metrics.counter(
                    OUTCOME, endpoint=endpoint, success="true" if success else "false"
                )
                for success in (True, False)
            }
            latency = self._metrics.histogram(LATENCY, endpoint=endpoint)
            found = self._endpoints[endpoint] = _Endpoint(0, latency, outcome)
        found.users += 1
        return found

    def close(self, endpoint: str) -> None:
        """The last one ends the series."""
        found = self._endpoints[endpoint]
        found.users -= 1
        if found.users:
            return
        del self._endpoints[endpoint]
        self._metrics.remove(LATENCY, endpoint=endpoint)
        for success in ("true", "false"):
            self._metrics.remove(OUTCOME, endpoint=endpoint, success=success)


class BackendMetrics:
    """What one backend was sent and how it answered."""

    def __init__(self, router: RouterMetrics, address: str) -> None:
        """The label ``exporter`` is the component's id, a slash, the address."""
        self._address = address
        self._doubted = router.doubted
        self._endpoints = router.endpoints
        self._series = self._endpoints.open(address)
        self.exporter = ExporterMetrics(
            router.registry,
            f"{router.exporter}/{address}",
            signal=router.signal,
            doors=(),
        )
        self._endpoints.enter(self.exporter)

    def tried(self, result: Result, *, items: int, took_ms: float) -> None:
        """One request of ``items`` was answered, or not, after ``took_ms``."""
        self._series.latency.observe(took_ms)
        delivered = result.outcome is Outcome.DELIVERED
        self._series.outcome[delivered].add()
        if delivered:
            self.exporter.sent.add(items - result.rejected)
            self.exporter.send_failed.add(result.rejected)

    @property
    def latency(self) -> Histogram:
        """How long the endpoint took to answer, in milliseconds."""
        return self._series.latency

    def turned_away(self, items: int) -> None:
        """There was no room for ``items``."""
        self.exporter.enqueue_failed.add(items)

    def doubted(self, items: int) -> None:
        """Nobody can know whether ``items`` arrived."""
        self._doubted.add(items)

    def gave_up(self, items: int) -> None:
        """``items`` will not be tried again at this backend."""
        self.exporter.send_failed.add(items)

    def remove(self) -> None:
        """End the series of this backend; it left the ring and was drained."""
        if self._endpoints.leave(self.exporter):
            self.exporter.remove()
        self._endpoints.close(self._address)
