"""Several sources of metrics as one: the workers of a host, the parts of a process.

Rules:

* Counters and histograms are summed, gauges as their spec's ``across`` says.
* A sum never falls because one of its sources ended: what that source had counted is
  kept (`Departed`) and added wherever a source that lives has the same series. A series
  that nobody has any more (of a backend that left) is not shown for ever.
* ``across="each"`` is told apart by a label ``worker`` (`labelled`); without one the
  newest source stands for all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tailring_runtime.series import (
    Callback,
    Counter,
    Family,
    Gauge,
    Histogram,
    Key,
    MetricSpec,
    Series,
)

__all__ = ["Departed", "labelled", "merged", "settled"]

# Series of ended sources that are kept; beyond it those that nobody has are forgotten.
DEPARTED_MAX = 20_000

_Table = dict[str, tuple[MetricSpec, dict[Key, Series]]]


def merged(sources: Iterable[Iterable[Family]]) -> list[Family]:
    """The families of all sources together, by name; none of theirs is changed."""
    table: _Table = {}
    for families in sources:
        for spec, series in families:
            _, into = table.setdefault(spec.name, (spec, {}))
            for key, one in series.items():
                known = into.get(key)
                into[key] = one if known is None else _join(spec, known, one)
    return [table[name] for name in sorted(table)]


def settled(families: Iterable[Family]) -> list[Family]:
    """The same as plain numbers, which can be kept and sent to another process."""
    return [
        (spec, {key: _plain(spec, one) for key, one in series.items()})
        for spec, series in families
    ]


def labelled(families: Iterable[Family], worker: str) -> list[Family]:
    """The same with a label ``worker`` where each source is told apart."""
    return [
        (_with_worker(spec), {(*key, worker): one for key, one in series.items()})
        if spec.across == "each"
        else (spec, series)
        for spec, series in families
    ]


class Departed:
    """What sources that ended had counted."""

    def __init__(self) -> None:
        self._families: list[Family] = []

    def add(self, families: Iterable[Family], *, living: Iterable[Family]) -> None:
        """Keep the counters and histograms of a source that ended."""
        counted = [
            (spec, series)
            for spec, series in settled(families)
            if spec.kind != "gauge" and spec.across != "each"
        ]
        self._families = merged([self._families, counted])
        if sum(len(series) for _, series in self._families) > DEPARTED_MAX:
            self._families = _among(self._families, living)

    def beside(self, living: list[Family]) -> list[Family]:
        """``living`` with what is kept added where they have the same series."""
        if not self._families:
            return living
        return merged([living, _among(self._families, living)])


def _among(families: Iterable[Family], living: Iterable[Family]) -> list[Family]:
    """Those of the series that ``living`` has as well."""
    known = {spec.name: series for spec, series in living}
    return [
        (spec, {key: one for key, one in series.items() if key in known[spec.name]})
        for spec, series in families
        if spec.name in known
    ]


def _join(spec: MetricSpec, one: Series, other: Series) -> Series:
    if isinstance(one, Histogram) and isinstance(other, Histogram):
        return _join_histograms(one, other)
    assert not isinstance(one, Histogram), f"{spec.name} is of two kinds"
    assert not isinstance(other, Histogram), f"{spec.name} is of two kinds"
    if spec.across == "each":
        return other
    values = (one.value, other.value)
    return _number(spec, max(values) if spec.across == "max" else sum(values))


def _join_histograms(one: Histogram, other: Histogram) -> Histogram:
    assert one.bounds == other.bounds, "histograms of one metric differ in their bounds"
    joined = Histogram(one.bounds)
    joined.counts = [a + b for a, b in zip(one.counts, other.counts, strict=True)]
    joined.sum = one.sum + other.sum
    return joined


def _plain(spec: MetricSpec, series: Series) -> Series:
    return _number(spec, series.value) if isinstance(series, Callback) else series


def _number(spec: MetricSpec, value: float) -> Series:
    made: Counter | Gauge = Counter() if spec.kind == "counter" else Gauge()
    made.value = value
    return made


def _with_worker(spec: MetricSpec) -> MetricSpec:
    return replace(spec, labels=(*spec.labels, "worker"), across="sum")
