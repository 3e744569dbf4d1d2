"""What receivers and the trace client count, under the collector's names."""

from __future__ import annotations

from tailring_otlpio.status import Outcome
from tailring_runtime.metrics import Metrics, MetricSpec

__all__ = [
    "ACCEPTED_SPANS",
    "FAILED_SPANS",
    "IN_FLIGHT_BYTES",
    "IN_FLIGHT_REQUESTS",
    "PARTIAL_REJECTED_SPANS",
    "REFUSED_SPANS",
    "REQUESTS",
    "ReceiverMetrics",
]

_LABELS = ("receiver", "transport")

ACCEPTED_SPANS = MetricSpec(
    name="otelcol_receiver_accepted_spans",
    kind="counter",
    help="Spans that the pipeline took.",
    unit="{spans}",
    labels=_LABELS,
)
REFUSED_SPANS = MetricSpec(
    name="otelcol_receiver_refused_spans",
    kind="counter",
    help="Spans that the pipeline, the limits or a drain did not let in; the client was"
    " told whether to send them again.",
    unit="{spans}",
    labels=_LABELS,
)
FAILED_SPANS = MetricSpec(
    name="otelcol_receiver_failed_spans",
    kind="counter",
    help="Spans lost or sent back because of an error inside this process.",
    unit="{spans}",
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
PARTIAL_REJECTED_SPANS = MetricSpec(
    name="tailring_exporter_partial_rejected_spans",
    kind="counter",
    help="Spans that a backend rejected in a partial success; they are not sent again.",
    unit="{spans}",
    labels=("exporter",),
)


class ReceiverMetrics:
    """The series of one receiver and transport (``grpc`` or ``http``)."""

    def __init__(self, metrics: Metrics, *, receiver: str, transport: str) -> None:
        own = {"receiver": receiver, "transport": transport}
        self.accepted_spans = metrics.counter(ACCEPTED_SPANS, **own)
        self.refused_spans = metrics.counter(REFUSED_SPANS, **own)
        self.failed_spans = metrics.counter(FAILED_SPANS, **own)
        self._requests = {
            outcome: metrics.counter(REQUESTS, outcome=outcome.value, **own)
            for outcome in Outcome
        }

    def ended(self, outcome: Outcome, spans: int, *, rejected: int = 0) -> None:
        """Count one request of ``spans`` spans; ``rejected`` of them were not taken."""
        self._requests[outcome].value += 1
        if outcome is Outcome.SUCCESS:
            self.accepted_spans.value += spans - rejected
            self.refused_spans.value += rejected
        elif outcome is Outcome.REFUSED:
            self.refused_spans.value += spans
        else:
            self.failed_spans.value += spans
