"""servicez and pipelinez."""

from __future__ import annotations

from tailring_runtime.health import Health, State
from tailring_runtime.metrics import Metrics, MetricSpec
from tailring_runtime.pages import Pages
from tailring_runtime.process import Identity
from tailring_runtime.process_pages import add_service_page, pivot

SENT = MetricSpec(
    name="otelcol_exporter_sent_spans", kind="counter", help="h", labels=("exporter",)
)
QUEUE = MetricSpec(
    name="otelcol_exporter_queue_size",
    kind="gauge",
    help="h",
    labels=("exporter", "data_type"),
)
OTHER = MetricSpec(name="otelcol_exporter_odd", kind="counter", help="h")


def test_the_service_page_follows_the_process() -> None:
    """The state of the page is that of the process."""
    pages, health = Pages(), Health()
    identity = Identity("tailring-router", "1.2.3")
    add_service_page(pages, identity=identity, health=health)
    before = pages.page("servicez", {}).facts["state"]
    health.move(State.RUNNING)
    facts = pages.page("servicez", {}).facts
    assert (before, facts["state"], facts["ready"]) == ("starting", "running", True)
    assert (facts["service"], facts["version"]) == ("tailring-router", "1.2.3")


def test_parts_are_rows_and_their_metrics_columns() -> None:
    """Other labels are summed; a metric without the part's label is left out."""
    metrics = Metrics()
    metrics.counter(SENT, exporter="lb").add(7)
    metrics.gauge(QUEUE, exporter="lb", data_type="traces").set(2)
    metrics.gauge(QUEUE, exporter="lb", data_type="logs").set(3)
    metrics.gauge(QUEUE, exporter="debug", data_type="logs").set(0.5)
    metrics.counter(OTHER).add(1)
    table = pivot(metrics, "exporter")
    assert table.columns == ("exporter", "queue_size", "sent_spans")
    assert table.rows == (("debug", 0.5, 0), ("lb", 5, 7))
