"""What receivers and the trace client count, under the collector's names."""

from __future__ import annotations

from tailring_otlpio.status import Outcome
from tailring_pipeline import Signal, per_signal
from tailring_runtime.metrics import Metrics, MetricSpec

__all__ = [
    "ACCEPTED",
    "FAILED",
    "IN_FLIGHT_BYTES",
    "IN_FLIGHT_REQUESTS",
    "PARTIAL_REJECTED",
    "REFUSED",
    "REQUESTS",
    "ReceiverMetrics",
]

_LABELS = ("receiver", "transport")

ACCEPTED = per_signal(
    "otelcol_receiver_accepted_{items}",
    help="{items} that the pipeline took.",
    labels=_LABELS,
)
REFUSED = per_signal(
    "otelcol_receiver_refused_{items}",
    help="{items} that the pipeline, the limits or a drain did not let in; the client"
    " was told whether to send them again.",
    labels=_LABELS,
)
FAILED = per_signal(
    "otelcol_receiver_failed_{items}",
    help="{items} lost or sent back because of an error inside this process.",
    labels=_LABELS,
)
REQUESTS = MetricSpec(
    name="otelcol_receiver_requests",
    kind="counter",
    help="Requests by outcome: success, refused (not let in), failure (malformed, too"
    " large, broken off, or an error of ours).",
    unit="{requests}",
    labels=(*_LABELS, "outcome"),
)
IN_FLIGHT_REQUESTS = MetricSpec(
    name="tailring_receiver_in_flight_requests",
    kind="gauge",
    help="Requests that are being handled; beyond the limit new ones are refused.",
    unit="{requests}",
    labels=("receiver",),
)
IN_FLIGHT_BYTES = MetricSpec(
    name="tailring_receiver_in_flight_bytes",
    kind="gauge",
    help="Decompressed bytes of requests that are being handled; beyond the limit new"
    " ones are refused.",
    unit="By",
    labels=("receiver",),
)
PARTIAL_REJECTED = per_signal(
    "tailring_exporter_partial_rejected_{items}",
    help="{items} that a backend rejected in a partial success; they are not sent"
    " again.",
    labels=("exporter",),
)


class ReceiverMetrics:
    """The series of one receiver, transport (``grpc`` or ``http``) and signal.

    Requests are counted in common, whatever their signal.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        receiver: str,
        transport: str,
        signal: Signal = Signal.TRACES,
    ) -> None:
        own = {"receiver": receiver, "transport": transport}
        self.accepted = metrics.counter(ACCEPTED[signal], **own)
        self.refused = metrics.counter(REFUSED[signal], **own)
        self.failed = metrics.counter(FAILED[signal], **own)
        self._requests = {
            outcome: metrics.counter(REQUESTS, outcome=outcome.value, **own)
            for outcome in Outcome
        }

    def ended(self, outcome: Outcome, items: int, *, rejected: int = 0) -> None:
        """Count one request of ``items`` items; ``rejected`` of them were not taken."""
        self._requests[outcome].value += 1
        if outcome is Outcome.SUCCESS:
            self.accepted.value += items - rejected
            self.refused.value += rejected
        elif outcome is Outcome.REFUSED:
            self.refused.value += items
        else:
            self.failed.value += items
