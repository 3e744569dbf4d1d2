"""The metrics of resolvers, with upstream's names."""

from __future__ import annotations

from typing import Final

from tailring_runtime.metrics import MetricSpec

__all__ = ["NUM_BACKENDS", "NUM_BACKEND_UPDATES", "NUM_RESOLUTIONS", "SPECS"]

NUM_RESOLUTIONS: Final = MetricSpec(
    "otelcol_loadbalancer_num_resolutions",
    "counter",
    "Times the resolver asked who the backends are; success=false keeps the last list.",
    unit="{resolutions}",
    labels=("resolver", "success"),
)
NUM_BACKENDS: Final = MetricSpec(
    "otelcol_loadbalancer_num_backends",
    "gauge",
    "Backends in the last good list, duplicates counted.",
    unit="{backends}",
    labels=("resolver",),
)
NUM_BACKEND_UPDATES: Final = MetricSpec(
    "otelcol_loadbalancer_num_backend_updates",
    "counter",
    "Times the list changed; growth without deployments is a flapping source.",
    unit="{updates}",
    labels=("resolver",),
)

SPECS: Final = (NUM_RESOLUTIONS, NUM_BACKENDS, NUM_BACKEND_UPDATES)
