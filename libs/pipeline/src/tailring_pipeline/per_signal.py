"""Metrics that have a name for each signal, as the collector has them.

``otelcol_exporter_sent_{items}`` is one declaration of three metrics:
``..._sent_spans``, ``..._sent_log_records`` and ``..._sent_metric_points``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tailring_otlpwire import LOGS, METRICS, TRACES
from tailring_pipeline.consumer import Signal
from tailring_runtime.metrics import MetricKind, MetricSpec

__all__ = ["ITEMS", "KINDS", "PerSignal", "per_signal"]

PerSignal = Mapping[Signal, MetricSpec]

# What the items of a signal are called: in metrics, and the unit of the collector's.
ITEMS: Final[Mapping[Signal, str]] = MappingProxyType(
    {
        Signal.TRACES: "spans",
        Signal.LOGS: "log_records",
        Signal.METRICS: "metric_points",
    }
)
# What `tailring_otlpwire` calls the requests of a signal.
KINDS: Final[Mapping[Signal, int]] = MappingProxyType(
    {Signal.TRACES: TRACES, Signal.LOGS: LOGS, Signal.METRICS: METRICS}
)
_UNITS: Final = {
    Signal.TRACES: "{spans}",
    Signal.LOGS: "{records}",
    Signal.METRICS: "{datapoints}",
}
_WORDS: Final = {
    Signal.TRACES: "Spans",
    Signal.LOGS: "Log records",
    Signal.METRICS: "Data points",
}


def per_signal(
    name: str, *, help: str, labels: tuple[str, ...], kind: MetricKind = "counter"
) -> PerSignal:
    """The metric of each signal; ``{items}`` in ``name`` and ``help`` is filled in."""
    return MappingProxyType(
        {
            signal: MetricSpec(
                name=name.format(items=items),
                kind=kind,
                help=help.format(items=_WORDS[signal]),
                unit=_UNITS[signal],
                labels=labels,
            )
            for signal, items in ITEMS.items()
        }
    )
