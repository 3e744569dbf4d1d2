"""Metrics as Prometheus text, with names and labels as one reader wants them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from tailring_runtime.series import Family, Histogram, Key, MetricSpec, Series

__all__ = ["CONTENT_TYPE", "Exposition", "base_name", "expose"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# UCUM units as OpenTelemetry writes them -> the word Prometheus appends.
# Units in braces ("{spans}") are annotations and add nothing.
UNIT_WORDS = {
    "s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds",
    "By": "bytes", "MiBy": "mebibytes", "1": "ratio",
}  # fmt: skip


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


def expose(families: Sequence[Family], exposition: Exposition) -> bytes:
    """The Prometheus text of everything that ``families`` have now."""
    text = generate_latest(_Families(families, exposition))
    return _bare_counters(text, [spec for spec, _ in families], exposition)


class _Families(Collector):
    """What prometheus_client walks: names and labels as one reader wants them."""

    def __init__(self, families: Sequence[Family], exposition: Exposition) -> None:
        self._families = families
        self._exposition = exposition
        self._extra = dict(exposition.constant_labels)
        if not exposition.without_scope_info:
            self._extra["otel_scope_name"] = exposition.scope[0]
            self._extra["otel_scope_version"] = exposition.scope[1]

    def collect(self) -> Iterable[Metric]:
        for spec, series in self._families:
            yield self._metric(spec, series)
        if self._exposition.target_info:
            info = Metric("target_info", "Target metadata", "gauge")
            info.add_sample("target_info", dict(self._exposition.target_info), 1)
            yield info

    def _metric(self, spec: MetricSpec, series: Mapping[Key, Series]) -> Metric:
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
