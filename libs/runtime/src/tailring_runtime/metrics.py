"""Metrics of one process: plain integers inside, Prometheus text outside.

Rules:

* A metric is declared once, as a `MetricSpec` constant of the package that owns it.
  The specs are the closed list from which the documentation is printed.
* A spec's name is the collector's own (``otelcol_receiver_accepted_spans``). Suffixes
  of type (``_total``) and unit belong to the exposition, never to the name.
* The hot path adds to a plain integer (`Counter.value`). Nothing is locked: one event
  loop owns all of it, and exposition runs on that loop.
* Asking for the same series twice gives the same object.

It does not know who scrapes it; `tailring_runtime.health` serves it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, cast

from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

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

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

MetricKind = Literal["counter", "gauge", "histogram"]

# The bounds that OpenTelemetry uses where an instrument names none.
DEFAULT_BUCKETS = (
    0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0,
    5000.0, 7500.0, 10000.0,
)  # fmt: skip

# UCUM units as OpenTelemetry writes them -> the word Prometheus appends.
# Units in braces ("{spans}") are annotations and add nothing.
UNIT_WORDS = {
    "s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds",
    "By": "bytes", "MiBy": "mebibytes", "1": "ratio",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """The declaration of one metric: its name without suffixes, and what it tells.

    ``unit`` is a UCUM code ("s", "ms", "By", "{spans}"); ``labels`` are all label
    names; ``buckets`` are a histogram's upper bounds (empty: OpenTelemetry's own).
    """

    name: str
    kind: MetricKind
    help: str
    unit: str = ""
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Exposition:
    """How one reader wants the names written; the keys of a Prometheus reader."""

    without_type_suffix: bool = False
    without_units: bool = True
    without_scope_info: bool = True
    # Constant labels of every series, and the labels of `target_info` (empty: none).
    constant_labels: tuple[tuple[str, str], ...] = ()
    target_info: tuple[tuple[str, str], ...] = ()
    scope: tuple[str, str] = ("tailring", "")


class Counter:
    """A number that only grows. Hot code adds to ``value`` directly."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: int = 0

    def add(self, n: int = 1) -> None:
        """Count ``n`` more."""
        self.value += n


class Gauge:
    """A number that goes up and down."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def set(self, value: float) -> None:
        """Say what the number is now."""
        self.value = value

    def add(self, n: float = 1) -> None:
        """Move the number by ``n``, which may be negative."""
        self.value += n


class Histogram:
    """How often values fell into each bucket, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum: float = 0

    def observe(self, value: float, times: int = 1) -> None:
        """Count one value in the unit of the spec, as often as it was met."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    @property
    def count(self) -> int:
        """How many values were observed."""
        return sum(self.counts)


class _Callback:
    """A series whose value is asked for when it is exposed."""

    __slots__ = ("read",)

    def __init__(self, read: Callable[[], float]) -> None:
        self.read = read

    @property
    def value(self) -> float:
        return self.read()


_Series = Counter | Gauge | Histogram | _Callback
_Key = tuple[str, ...]


class Metrics:
    """All metrics of one process. Owned by the event loop's thread."""

    def __init__(self, exposition: Exposition | None = None) -> None:
        self.exposition = exposition if exposition is not None else Exposition()
        self._specs: dict[str, MetricSpec] = {}
        self._series: dict[str, dict[_Key, _Series]] = {}

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
        self._family(spec)[_key(spec, labels)] = _Callback(read)

    def counter_callback(
        self, spec: MetricSpec, read: Callable[[], float], /, **labels: str
    ) -> None:
        """Ask ``read`` for the counter at each exposition; its value never falls."""
        self._family(spec)[_key(spec, labels)] = _Callback(read)

    def remove(self, spec: MetricSpec, /, **labels: str) -> None:
        """Forget one series (a backend that left). Safe when there is none."""
        self._family(spec).pop(_key(spec, labels), None)

    def declare(self, *specs: MetricSpec) -> None:
        """Know these metrics before they have a series, so that `value` answers 0."""
        for spec in specs:
            self._family(spec)

    def specs(self) -> tuple[MetricSpec, ...]:
        """Every metric known so far, by name."""
        return tuple(self._specs[name] for name in sorted(self._specs))

    def value(self, name: str, /, **labels: str) -> float:
        """The sum of the series of ``name`` that carry all of ``labels``.

        A histogram counts its observations. A series that does not exist is 0; a
        metric that was never declared is a KeyError, because it is a misspelling.
        """
        spec = self._specs[name]
        total: float = 0
        for key, series in self._series[name].items():
            if labels.items() <= dict(zip(spec.labels, key, strict=True)).items():
                total += series.count if isinstance(series, Histogram) else series.value
        return total

    def expose(self, exposition: Exposition | None = None) -> bytes:
        """The Prometheus text of everything, as ``exposition`` (or ours) wants it."""
        wanted = exposition if exposition is not None else self.exposition
        text = generate_latest(_Families(self, wanted))
        return _bare_counters(text, self._specs.values(), wanted)

    def _get(
        self, spec: MetricSpec, labels: dict[str, str], *, make: Callable[[], _Series]
    ) -> _Series:
        family = self._family(spec)
        key = _key(spec, labels)
        series = family.get(key)
        if series is None:
            series = family[key] = make()
        return series

    def _family(self, spec: MetricSpec) -> dict[_Key, _Series]:
        known = self._specs.setdefault(spec.name, spec)
        if known is not spec and known != spec:
            raise ValueError(f"two metrics are called {spec.name}")
        return self._series.setdefault(spec.name, {})

    def families(self) -> Iterator[tuple[MetricSpec, dict[_Key, _Series]]]:
        """Every metric that has series, by name."""
        for name in sorted(self._specs):
            if self._series[name]:
                yield self._specs[name], self._series[name]


class _Families(Collector):
    """What prometheus_client walks: names and labels as one reader wants them."""

    def __init__(self, metrics: Metrics, exposition: Exposition) -> None:
        self._metrics = metrics
        self._exposition = exposition
        self._extra = dict(exposition.constant_labels)
        if not exposition.without_scope_info:
            self._extra["otel_scope_name"] = exposition.scope[0]
            self._extra["otel_scope_version"] = exposition.scope[1]

    def collect(self) -> Iterable[Metric]:
        for spec, series in self._metrics.families():
            yield self._metric(spec, series)
        if self._exposition.target_info:
            info = Metric("target_info", "Target metadata", "gauge")
            info.add_sample("target_info", dict(self._exposition.target_info), 1)
            yield info

    def _metric(self, spec: MetricSpec, series: dict[_Key, _Series]) -> Metric:
        base = base_name(spec, self._exposition)
        bare = spec.kind == "counter" and self._exposition.without_type_suffix
        metric = Metric(base, spec.help, "gauge" if bare else spec.kind)
        suffix = "_total" if spec.kind == "counter" and not bare else ""
        for key in sorted(series):
            labels = dict(zip(spec.labels, key, strict=True)) | self._extra
            one = series[key]
            if isinstance(one, Histogram):
                _add_histogram(metric, one, labels=labels)
            else:
                metric.add_sample(base + suffix, labels, one.value)
        return metric


def base_name(spec: MetricSpec, exposition: Exposition) -> str:
    """The exposed name without the suffix of its type; a unit is never said twice."""
    name = spec.name
    word = UNIT_WORDS.get(spec.unit, "")
    if word == "ratio" and spec.kind != "gauge":
        word = ""
    if word and not exposition.without_units and not name.endswith("_" + word):
        name = f"{name}_{word}"
    return name.removesuffix("_total") if spec.kind == "counter" else name


def _add_histogram(
    metric: Metric, histogram: Histogram, *, labels: dict[str, str]
) -> None:
    total = 0
    for bound, count in zip(histogram.bounds, histogram.counts, strict=False):
        total += count
        metric.add_sample(f"{metric.name}_bucket", labels | {"le": _le(bound)}, total)
    total += histogram.counts[-1]
    metric.add_sample(f"{metric.name}_bucket", labels | {"le": "+Inf"}, total)
    metric.add_sample(f"{metric.name}_sum", labels, histogram.sum)
    metric.add_sample(f"{metric.name}_count", labels, total)


def _le(bound: float) -> str:
    # "5" as the Go client writes it, so that recording rules match both processes.
    return str(int(bound)) if bound.is_integer() else repr(bound)


def _bare_counters(
    text: bytes, specs: Iterable[MetricSpec], exposition: Exposition
) -> bytes:
    # prometheus_client writes "_total" into the header of every counter. Without the
    # suffix the family goes through it as a gauge and its header is put right here.
    if not exposition.without_type_suffix:
        return text
    lines = text.split(b"\n")
    right = {
        f"# TYPE {name} gauge".encode(): f"# TYPE {name} counter".encode()
        for name in (
            base_name(spec, exposition) for spec in specs if spec.kind == "counter"
        )
    }
    return b"\n".join(right.get(line, line) for line in lines)


def _key(spec: MetricSpec, labels: dict[str, str]) -> _Key:
    if labels.keys() != set(spec.labels):
        raise ValueError(f"{spec.name} has the labels {spec.labels}, not {labels}")
    return tuple(labels[name] for name in spec.labels)
