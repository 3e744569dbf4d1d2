"""Metrics: plain numbers inside, the right text outside."""

from __future__ import annotations

import pytest

from tailring_runtime.metrics import Exposition, Metrics, MetricSpec
from tailring_testkit import prom

SPANS = MetricSpec(
    "otelcol_receiver_accepted_spans", "counter", "Taken.", "{spans}", ("receiver",)
)
BYTES = MetricSpec("tailring_sent", "counter", "Sent.", "By")
HELD = MetricSpec("tailring_held", "gauge", "Held.", "By")
LATENCY = MetricSpec(
    "otelcol_latency", "histogram", "Latency.", "ms", ("endpoint",), (5, 10.5)
)


def text(metrics: Metrics, **options: bool) -> str:
    return metrics.expose(Exposition(**options)).decode()  # type: ignore[arg-type]


def test_counter_has_total_by_default() -> None:
    """A counter is exposed with the suffix _total and its own type line."""
    metrics = Metrics()
    metrics.counter(SPANS, receiver="otlp").add(3)
    lines = text(metrics).splitlines()
    assert "# TYPE otelcol_receiver_accepted_spans_total counter" in lines
    assert 'otelcol_receiver_accepted_spans_total{receiver="otlp"} 3.0' in lines


def test_bare_counter_is_still_a_counter() -> None:
    """Without the type suffix the type line says counter under the bare name."""
    metrics = Metrics()
    metrics.counter(SPANS, receiver="otlp").add(3)
    metrics.gauge(HELD).set(1)
    lines = text(metrics, without_type_suffix=True).splitlines()
    assert "# TYPE otelcol_receiver_accepted_spans counter" in lines
    assert 'otelcol_receiver_accepted_spans{receiver="otlp"} 3.0' in lines
    assert "# TYPE tailring_held gauge" in lines


def test_units_are_left_out_by_default() -> None:
    """A histogram in milliseconds keeps its bare name unless units are wanted."""
    metrics = Metrics()
    metrics.histogram(LATENCY, endpoint="a:1").observe(1)
    assert "otelcol_latency_bucket" in text(metrics)
    assert "otelcol_latency_milliseconds_bucket" in text(metrics, without_units=False)


def test_unit_comes_before_the_type_suffix() -> None:
    """With units a counter of bytes ends in _bytes_total."""
    metrics = Metrics()
    metrics.counter(BYTES)
    assert "tailring_sent_bytes_total 0.0" in text(metrics, without_units=False)


def test_annotation_units_add_nothing() -> None:
    """A unit in braces is an annotation and never part of a name."""
    metrics = Metrics()
    metrics.counter(SPANS, receiver="x")
    page = text(metrics, without_units=False)
    assert "otelcol_receiver_accepted_spans_total{" in page


def test_unit_is_never_said_twice() -> None:
    """A name that ends in its unit already is not given it again."""
    metrics = Metrics()
    metrics.gauge(MetricSpec("rss_bytes", "gauge", "Resident.", "By")).set(1)
    assert "rss_bytes 1.0" in text(metrics, without_units=False)


def test_histogram_buckets_are_cumulative_and_closed_above() -> None:
    """A value on a bound falls into its bucket, and +Inf counts everything."""
    metrics = Metrics()
    histogram = metrics.histogram(LATENCY, endpoint="a:1")
    for value in (5, 5.1, 10.5, 11):
        histogram.observe(value)
    page = prom.parse(text(metrics))
    found = {s.labels["le"]: s.value for s in page.find("otelcol_latency_bucket")}
    assert found == {"5": 1, "10.5": 3, "+Inf": 4}
    assert page.value("otelcol_latency_sum") == pytest.approx(31.6)
    assert page.value("otelcol_latency_count") == 4


def test_a_value_met_often_is_observed_at_once() -> None:
    """Observing a value so many times is as good as one by one."""
    metrics = Metrics()
    histogram = metrics.histogram(LATENCY, endpoint="a:1")
    histogram.observe(7, 1_000_000)
    histogram.observe(1, 0)
    assert histogram.count == 1_000_000
    assert histogram.sum == 7_000_000


def test_histogram_without_buckets_has_the_usual_ones() -> None:
    """A spec without bounds gets OpenTelemetry's default bounds."""
    metrics = Metrics()
    histogram = metrics.histogram(MetricSpec("age", "histogram", "Age.", "s"))
    assert histogram.bounds[:3] == (0.0, 5.0, 10.0)


def test_same_series_is_the_same_object() -> None:
    """Asking twice for the same labels gives one counter."""
    metrics = Metrics()
    one = metrics.counter(SPANS, receiver="a")
    assert metrics.counter(SPANS, receiver="a") is one
    assert metrics.counter(SPANS, receiver="b") is not one


@pytest.mark.parametrize("labels", [{}, {"wrong": "x"}, {"receiver": "x", "y": "z"}])
def test_wrong_labels_are_refused(labels: dict[str, str]) -> None:
    """A series must carry exactly the labels of its spec."""
    with pytest.raises(ValueError, match="has the labels"):
        Metrics().counter(SPANS, **labels)


def test_two_specs_of_one_name_are_refused() -> None:
    """Two different declarations of one name cannot live together."""
    metrics = Metrics()
    metrics.counter(SPANS, receiver="a")
    other = MetricSpec(SPANS.name, "gauge", "Other.")
    with pytest.raises(ValueError, match="two metrics are called"):
        metrics.gauge(other)


def test_value_sums_what_matches() -> None:
    """The value of a name is the sum of the series that carry the given labels."""
    metrics = Metrics()
    metrics.counter(SPANS, receiver="a").add(1)
    metrics.counter(SPANS, receiver="b").add(2)
    assert metrics.value(SPANS.name) == 3
    assert metrics.value(SPANS.name, receiver="b") == 2
    assert metrics.value(SPANS.name, receiver="c") == 0


def test_value_of_an_undeclared_name_is_an_error() -> None:
    """A misspelt name is a KeyError and not zero."""
    metrics = Metrics()
    with pytest.raises(KeyError):
        metrics.value("otelcol_receiver_acepted_spans")


def test_declared_metric_counts_as_zero() -> None:
    """A declared metric without series is zero, and known to the documentation."""
    metrics = Metrics()
    metrics.declare(SPANS, HELD)
    assert metrics.value(SPANS.name) == 0
    assert metrics.specs() == (SPANS, HELD)
    assert metrics.expose() == b""


def test_removed_series_is_gone() -> None:
    """A removed series is not exposed, and removing it again is safe."""
    metrics = Metrics()
    metrics.counter(SPANS, receiver="a").add(1)
    metrics.remove(SPANS, receiver="a")
    metrics.remove(SPANS, receiver="a")
    assert metrics.value(SPANS.name) == 0
    assert metrics.expose() == b""


def test_callbacks_are_asked_at_exposition() -> None:
    """A callback gauge or counter shows what its function says now."""
    metrics = Metrics()
    now = [1.0]
    metrics.gauge_callback(HELD, lambda: now[0])
    metrics.counter_callback(BYTES, lambda: now[0] * 2)
    now[0] = 5
    page = prom.parse(text(metrics))
    assert page.value("tailring_held") == 5
    assert page.value("tailring_sent_total") == 10


def test_gauge_moves_both_ways() -> None:
    """A gauge can be set and moved by a negative step."""
    gauge = Metrics().gauge(HELD)
    gauge.set(5)
    gauge.add(-2)
    assert gauge.value == 3


def test_label_values_are_escaped() -> None:
    """Quotes, backslashes and line ends in a label survive the text format."""
    metrics = Metrics()
    hostile = 'a"b\\c\nd'
    metrics.counter(SPANS, receiver=hostile).add(1)
    assert prom.parse(text(metrics)).find(
        "otelcol_receiver_accepted_spans_total", receiver=hostile
    )


def test_scope_labels_are_written_when_wanted() -> None:
    """With scope info each series names the scope and its version."""
    metrics = Metrics()
    metrics.gauge(HELD).set(1)
    page = metrics.expose(
        Exposition(without_scope_info=False, scope=("tailring", "1.2"))
    ).decode()
    sample = prom.parse(page).find("tailring_held")[0]
    assert sample.labels == {"otel_scope_name": "tailring", "otel_scope_version": "1.2"}


def test_constant_labels_and_target_info() -> None:
    """Constant labels are on each series; the resource has a series of its own."""
    metrics = Metrics()
    metrics.gauge(HELD).set(1)
    page = prom.parse(
        metrics.expose(
            Exposition(
                constant_labels=(("zone", "a"),),
                target_info=(("service_name", "tailring"),),
            )
        ).decode()
    )
    assert page.find("tailring_held", zone="a")
    assert page.value("target_info", service_name="tailring") == 1
