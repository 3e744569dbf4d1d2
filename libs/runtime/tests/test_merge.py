"""Several sources of metrics as one: sums, maxima, labels, and what ended."""

from __future__ import annotations

import pickle

from tailring_runtime.merge import labelled, merged, settled
from tailring_runtime.metrics import Metrics, MetricSpec
from tailring_runtime.series import Family, Histogram

SENT = MetricSpec("sent", "counter", "Sent.", labels=("exporter",))
HELD = MetricSpec("held", "gauge", "Held.")
KNOWN = MetricSpec("known", "gauge", "Known.", across="max")
MEMORY = MetricSpec("memory", "gauge", "Memory.", across="each")
LATENCY = MetricSpec("latency", "histogram", "Latency.", buckets=(1, 10))


def source(sent: int, *, held: float = 0, known: float = 0) -> Metrics:
    """One process that sent so much."""
    metrics = Metrics()
    metrics.counter(SENT, exporter="a").add(sent)
    metrics.gauge_callback(HELD, lambda: held)
    metrics.gauge(KNOWN).set(known)
    metrics.histogram(LATENCY).observe(sent)
    return metrics


def values(families: list[Family]) -> dict[str, dict[tuple[str, ...], float]]:
    """The numbers by name and labels; a histogram's is its count."""
    return {
        spec.name: {
            key: one.count if isinstance(one, Histogram) else one.value
            for key, one in series.items()
        }
        for spec, series in families
    }


def test_counters_add_up_and_gauges_follow_their_rule() -> None:
    """Counters, histograms and plain gauges are summed; ``max`` takes the largest."""
    sources = [source(2, held=1, known=4), source(5, held=2, known=3)]
    found = values(merged(one.families() for one in sources))
    assert found == {
        "sent": {("a",): 7},
        "held": {(): 3},
        "known": {(): 4},
        "latency": {(): 2},
    }


def test_merging_changes_no_source() -> None:
    """The sources hold the same numbers after they were added up."""
    one, other = source(2), source(5)
    merged([one.families(), other.families(), one.families()])
    assert one.value("sent") == 2
    assert other.value("latency") == 1


def test_what_each_process_has_gets_a_label() -> None:
    """A metric of ``each`` is shown once for every worker, under its name."""
    metrics = Metrics()
    metrics.gauge(MEMORY).set(9)
    both = [labelled(metrics.families(), worker) for worker in ("0", "1")]
    (family,) = merged(both)
    assert family[0].labels == ("worker",)
    assert values([family]) == {"memory": {("0",): 9, ("1",): 9}}


def test_settled_metrics_travel() -> None:
    """Numbers that were asked for can be pickled, and are the same after it."""
    sent = settled(source(3, held=2).families())
    assert values(pickle.loads(pickle.dumps(sent))) == values(sent)


def test_a_sum_never_falls_when_a_part_ends() -> None:
    """What a replaced part had counted stays in the sum; its gauges are gone."""
    root = Metrics()
    old, new = root.child(), root.child()
    for part, sent in ((old, 3), (new, 4)):
        part.counter(SENT, exporter="a").add(sent)
        part.gauge(HELD).set(sent)
    assert root.value("sent") == 7
    root.retire(old)
    assert root.value("sent") == 7
    assert root.value("held") == 4


def test_a_series_that_nobody_has_any_more_is_not_shown() -> None:
    """A backend that left with a replaced part leaves no series behind."""
    root = Metrics()
    old, new = root.child(), root.child()
    old.counter(SENT, exporter="gone").add(3)
    new.counter(SENT, exporter="a").add(1)
    root.retire(old)
    assert b"gone" not in root.expose()
    assert root.value("sent") == 1


def test_a_series_that_comes_back_has_its_count_again() -> None:
    """A counter that is made late continues where the ended part's was."""
    root = Metrics()
    old, new = root.child(), root.child()
    old.counter(SENT, exporter="a").add(3)
    root.retire(old)
    new.counter(SENT, exporter="a").add(1)
    assert root.value("sent") == 4
