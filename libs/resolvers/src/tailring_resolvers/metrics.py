"""The metrics of resolvers, with upstream's names."""

from __future__ import annotations

from typing import Final

from tailring_runtime.metrics import MetricSpec

__all__ = [
    "LEFT_OUT",
    "NUM_BACKENDS",
    "NUM_BACKEND_UPDATES",
    "NUM_RESOLUTIONS",
    "SPECS",
]

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
    across="max",
)
NUM_BACKEND_UPDATES: Final = MetricSpec(
    "otelcol_loadbalancer_num_backend_updates",
    "counter",
    "Times the list changed; growth without deployments is a flapping source.",
    unit="{updates}",
    labels=("resolver",),
)
LEFT_OUT: Final = MetricSpec(
    "tailring_resolver_left_out_instances",
    "gauge",
    "Instances of the last answer that cannot be backends and get no traces; the log"
    " names them.",
    unit="{instances}",
    labels=("resolver", "reason"),
    across="max",
)

SPECS: Final = (NUM_RESOLUTIONS, NUM_BACKENDS, NUM_BACKEND_UPDATES, LEFT_OUT)
