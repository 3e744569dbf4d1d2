"""The components that a sampler can run, for the configuration loader."""

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
from tailring_runtime.config import HEALTH_CHECK, ComponentType, Registry
from tailring_runtime.zpages import ZPAGES
from tailring_sampler.config import TailSamplingConfig
from tailring_sampler.gates import GATES

__all__ = ["registry"]

_ROUTER = (
    "routing by trace id is the router's work; put it into a file of its own and run"
    " that with tailring-router, in front of the samplers"
)


def registry() -> Registry:
    """Everything that may stand in a sampler's file."""
    return Registry(
        service="tailring-sampler",
        types=(
            ComponentType("receiver", "otlp", OtlpReceiverConfig),
            ComponentType("processor", "memory_limiter", MemoryLimiterConfig),
            ComponentType(
                "processor",
                "tail_sampling",
                TailSamplingConfig,
                signals=frozenset({"traces"}),
            ),
            ComponentType("processor", "batch", BatchConfig),
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
        gates=GATES,
        refused_components={
            ("exporter", "loadbalancing"): _ROUTER,
            ("exporter", "load_balancing"): _ROUTER,
        },
    )
