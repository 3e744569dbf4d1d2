"""The components that a router can run, for the configuration loader."""

from __future__ import annotations

from tailring_otlpio import (
    BASIC_AUTH,
    BEARER_TOKEN_AUTH,
    FileExporterConfig,
    OtlpExporterConfig,
    OtlpHttpExporterConfig,
    OtlpReceiverConfig,
)
from tailring_pipeline import (
    FILE_STORAGE,
    BatchConfig,
    DebugConfig,
    MemoryLimiterConfig,
    NopConfig,
)
from tailring_router.config import LoadBalancingConfig
from tailring_runtime.config import HEALTH_CHECK, ComponentType, Registry
from tailring_runtime.zpages import ZPAGES

__all__ = ["registry"]

_SAMPLER = (
    "sampling is the sampler's work; put it into a file of its own and run that with"
    " tailring-sampler, behind the routers"
)


def registry() -> Registry:
    """Everything that may stand in a router's file."""
    return Registry(
        service="tailring-router",
        types=(
            ComponentType("receiver", "otlp", OtlpReceiverConfig),
            ComponentType("processor", "memory_limiter", MemoryLimiterConfig),
            ComponentType("processor", "batch", BatchConfig),
            ComponentType(
                "exporter",
                "load_balancing",
                LoadBalancingConfig,
                deprecated=frozenset({"loadbalancing"}),
            ),
            ComponentType(
                "exporter",
                "otlp",
                OtlpExporterConfig,
                aliases=frozenset({"otlp_grpc"}),
            ),
            ComponentType(
                "exporter",
                "otlp_http",
                OtlpHttpExporterConfig,
                deprecated=frozenset({"otlphttp"}),
            ),
            ComponentType(
                "exporter", "debug", DebugConfig, deprecated=frozenset({"logging"})
            ),
            ComponentType("exporter", "file", FileExporterConfig),
            ComponentType("exporter", "nop", NopConfig),
            HEALTH_CHECK,
            ZPAGES,
            BEARER_TOKEN_AUTH,
            BASIC_AUTH,
            FILE_STORAGE,
        ),
        refused_components={("processor", "tail_sampling"): _SAMPLER},
    )
