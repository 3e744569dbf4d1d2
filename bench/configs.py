"""The YAML of what is measured: one template, read by both sides.

Both get the same text. The queue is large enough that nothing is refused for want
of room; metrics are on, as they are in production.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Ports", "router", "sampler"]


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the measured process listens."""

    otlp: int
    metrics: int
    health: int


def router(
    ports: Ports, *, backends: Sequence[str], compression: str, batch: bool
) -> dict[str, Any]:
    """`load_balancing` over a static list, with or without `batch` before it."""
    exporter = {
        "routing_key": "traceID",
        "protocol": {
            "otlp": {
                "tls": {"insecure": True},
                "compression": compression,
                "sending_queue": {"queue_size": 100_000},
            }
        },
        "resolver": {"static": {"hostnames": list(backends)}},
    }
    processors: dict[str, Any] = {"batch": {}} if batch else {}
    return {
        "receivers": _receivers(ports),
        "processors": processors,
        "exporters": {"load_balancing": exporter},
        "extensions": _extensions(ports),
        "service": _service(
            ports, processors=list(processors), exporter="load_balancing"
        ),
    }


def sampler(ports: Ports, *, backend: str, decision_wait_s: int) -> dict[str, Any]:
    """`tail_sampling` with the usual three policies."""
    policies = [
        {
            "name": "errors-policy",
            "type": "status_code",
            "status_code": {"status_codes": ["ERROR"]},
        },
        {"name": "latency-policy", "type": "latency", "latency": {"threshold_ms": 500}},
        {
            "name": "probabilistic-policy",
            "type": "probabilistic",
            "probabilistic": {"sampling_percentage": 10},
        },
    ]
    tail_sampling = {
        "decision_wait": f"{decision_wait_s}s",
        "num_traces": 1_000_000,
        "policies": policies,
    }
    exporter = {
        "endpoint": backend,
        "tls": {"insecure": True},
        "compression": "none",
        "sending_queue": {"queue_size": 100_000},
    }
    return {
        "receivers": _receivers(ports),
        "processors": {"tail_sampling": tail_sampling},
        "exporters": {"otlp": exporter},
        "extensions": _extensions(ports),
        "service": _service(ports, processors=["tail_sampling"], exporter="otlp"),
    }


def _receivers(ports: Ports) -> dict[str, Any]:
    grpc = {"endpoint": f"127.0.0.1:{ports.otlp}", "max_recv_msg_size_mib": 64}
    return {"otlp": {"protocols": {"grpc": grpc}}}


def _extensions(ports: Ports) -> dict[str, Any]:
    return {"health_check": {"endpoint": f"127.0.0.1:{ports.health}"}}


def _service(
    ports: Ports, *, processors: Sequence[str], exporter: str
) -> dict[str, Any]:
    prometheus = {"host": "127.0.0.1", "port": ports.metrics}
    return {
        "extensions": ["health_check"],
        "telemetry": {
            "logs": {"level": "warn"},
            "metrics": {
                "readers": [{"pull": {"exporter": {"prometheus": prometheus}}}]
            },
        },
        "pipelines": {
            "traces": {
                "receivers": ["otlp"],
                "processors": list(processors),
                "exporters": [exporter],
            }
        },
    }
