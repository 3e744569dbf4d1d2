"""Metrics of one process: plain integers inside, Prometheus text outside.

Rules:

* A metric is declared once, as a `MetricSpec` constant of the package that owns it.
  The specs are the closed list from which the documentation is printed.
* A spec's name is the collector's own (``otelcol_receiver_accepted_spans``). Suffixes
  of type (``_total``) and unit belong to the exposition, never to the name.
* The hot path adds to a plain integer (`Counter.value`). Nothing is locked: one event
  loop owns all of it, and exposition runs on that loop.
* Asking for the same series twice gives the same object.
* A part that may be replaced while the process runs has a `child` of its own.

It does not know who scrapes it; `tailring_runtime.health` serves it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from tailring_runtime.exposition import CONTENT_TYPE, Exposition, expose
from tailring_runtime.merge import Departed, merged
from tailring_runtime.series import (
    DEFAULT_BUCKETS,
    Callback,
    Counter,
    Family,
    Gauge,
    Histogram,
    Key,
    MetricKind,
    MetricSpec,
    Series,
)

__all__ = [
    "CONTENT_TYPE",
    "Counter",
    "Exposition",
    "Gauge",
    "Histogram",
    "MetricKind",
    "MetricSpec",
    "Metrics",
]


class Metrics:
    """All metrics of one process. Owned by the event loop's thread."""

    def __init__(self, exposition: Exposition | None = None) -> None:
        self.exposition = exposition if exposition is not None else Exposition()
        self._specs: dict[str, MetricSpec] = {}
        self._series: dict[str, dict[Key, Series]] = {}
        self._children: list[Metrics] = []
        self._departed = Departed()

    def child(self) -> Metrics:
        """The metrics of a part that may be replaced; shown with these until `retire`.

        Its series are its own: a part and the one that replaces it may have the same.
        """
        made = Metrics(self.exposition)
        self._children.append(made)
        return made

    def retire(self, child: Metrics) -> None:
        """A part has ended: what it counted stays in the sums, its gauges go."""
        self._children.remove(child)
        self._departed.add(child.families(), living=self._living())

    def drop(self, child: Metrics) -> None:
        """A part never came to life: as if `child` had not been called."""
        self._children.remove(child)

    def counter(self, spec: MetricSpec, /, **labels: str) -> Counter:
        """The counter of these labels; made at zero when it is new."""
        return cast(Counter, self._get(spec, labels, make=Counter))

    def gauge(self, spec: MetricSpec, /, **labels: str) -> Gauge:
        """The gauge of these labels; made at zero when it is new."""
        return cast(Gauge, self._get(spec, labels, make=Gauge))

    def histogram(self, spec: MetricSpec, /, **labels: str) -> Histogram:
        """The histogram of these labels; made empty when it is new."""
        bounds = tuple(float(bound) for bound in spec.buckets) or DEFAULT_BUCKETS
        return cast(Histogram, self._get(spec, labels, make=lambda: Histogram(bounds)))

    def gauge_callback(
        self, spec: MetricSpec, read: Callable[[], float], /, **labels: str
    ) -> None:
        """Ask ``read`` for the gauge at each exposition; it must not wait or raise."""
        self._family(spec)[_key(spec, labels)] = Callback(read)

    def counter_callback(
        self, spec: MetricSpec, read: Callable[[], float], /, **labels: str
    ) -> None:
        """Ask ``read`` for the counter at each exposition; its value never falls."""
        self._family(spec)[_key(spec, labels)] = Callback(read)

    def remove(self, spec: MetricSpec, /, **labels: str) -> None:
        """Forget one series (a backend that left). Safe when there is none."""
        self._family(spec).pop(_key(spec, labels), None)

    def declare(self, *specs: MetricSpec) -> None:
        """Know these metrics before they have a series, so that `value` answers 0."""
        for spec in specs:
            self._family(spec)

    def specs(self) -> tuple[MetricSpec, ...]:
        """Every metric known so far, by name."""
        specs = dict(self._specs)
        for child in self._children:
            specs |= {spec.name: spec for spec in child.specs()}
        return tuple(specs[name] for name in sorted(specs))

    def value(self, name: str, /, **labels: str) -> float:
        """The sum of the series of ``name`` that carry all of ``labels``.

        A histogram counts its observations. A series that does not exist is 0; a
        metric that was never declared is a KeyError, because it is a misspelling.
        """
        spec = next((spec for spec in self.specs() if spec.name == name), None)
        if spec is None:
            raise KeyError(name)
        total: float = 0
        for _, family in (it for it in self.families() if it[0].name == name):
            for key, series in family.items():
                if labels.items() <= dict(zip(spec.labels, key, strict=True)).items():
                    total += _number(series)
        return total

    def expose(self, exposition: Exposition | None = None) -> bytes:
        """The Prometheus text of everything, as ``exposition`` (or ours) wants it."""
        wanted = exposition if exposition is not None else self.exposition
        return expose(self.families(), wanted)

    def families(self) -> list[Family]:
        """Every metric that has series, by name."""
        return self._departed.beside(self._living())

    def _living(self) -> list[Family]:
        own: list[Family] = [
            (self._specs[name], self._series[name])
            for name in sorted(self._specs)
            if self._series[name]
        ]
        if not self._children:
            return own
        return merged([own, *(child.families() for child in self._children)])

    def _get(
        self, spec: MetricSpec, labels: dict[str, str], *, make: Callable[[], Series]
    ) -> Series:
        family = self._family(spec)
        key = _key(spec, labels)
        series = family.get(key)
        if series is None:
            series = family[key] = make()
        return series

    def _family(self, spec: MetricSpec) -> dict[Key, Series]:
        known = self._specs.setdefault(spec.name, spec)
        if known is not spec and known != spec:
            raise ValueError(f"two metrics are called {spec.name}")
        return self._series.setdefault(spec.name, {})


def _number(series: Series) -> float:
    return series.count if isinstance(series, Histogram) else series.value


def _key(spec: MetricSpec, labels: dict[str, str]) -> Key:
    if labels.keys() != set(spec.labels):
        raise ValueError(f"{spec.name} has the labels {spec.labels}, not {labels}")
    return tuple(labels[name] for name in spec.labels)
