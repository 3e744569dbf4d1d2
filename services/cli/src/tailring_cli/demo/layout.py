"""The demo's fleet on loopback: who listens where, and the YAML of each process.

The YAML is what an operator would write for two-tier sampling: `load_balancing` over
a static list on the routers, `tail_sampling` with three policies on the samplers.
Ports are free ones; they are chosen together, held open until all are known, then
released, so no two processes get the same.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

__all__ = [
    "POLICIES",
    "Layout",
    "Router",
    "Sampler",
    "plan_layout",
    "router_yaml",
    "sampler_yaml",
]

POLICIES: tuple[dict[str, Any], ...] = (
    {
        "name": "errors",
        "type": "status_code",
        "status_code": {"status_codes": ["ERROR"]},
    },
    {"name": "slow", "type": "latency", "latency": {"threshold_ms": 500}},
    {
        "name": "one-in-ten",
        "type": "probabilistic",
        "probabilistic": {"sampling_percentage": 10},
    },
)
"""What the samplers keep: errors, visits of more than 500 ms, and every tenth."""


@dataclass(frozen=True, slots=True)
class Router:
    """A router's name and its ports."""

    name: str
    grpc_port: int
    http_port: int
    metrics_port: int
    health_port: int


@dataclass(frozen=True, slots=True)
class Sampler:
    """A sampler's name and its ports."""

    name: str
    grpc_port: int
    metrics_port: int
    health_port: int

    @property
    def endpoint(self) -> str:
        """What the routers' static list calls it."""
        return f"127.0.0.1:{self.grpc_port}"


@dataclass(frozen=True, slots=True)
class Layout:
    """All processes of a demo."""

    routers: tuple[Router, ...]
    samplers: tuple[Sampler, ...]
    sink_port: int
    decision_wait_s: int


def plan_layout(*, routers: int, samplers: int, decision_wait_s: int) -> Layout:
    """Names and free ports for that many routers and samplers, and the sink."""
    ports = iter(_free_ports(4 * routers + 3 * samplers + 1))
    return Layout(
        routers=tuple(
            Router(f"router-{number}", *(next(ports) for _ in range(4)))
            for number in range(1, routers + 1)
        ),
        samplers=tuple(
            Sampler(f"sampler-{number}", *(next(ports) for _ in range(3)))
            for number in range(1, samplers + 1)
        ),
        sink_port=next(ports),
        decision_wait_s=decision_wait_s,
    )


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for it in sockets:
            it.bind(("127.0.0.1", 0))
        return [int(it.getsockname()[1]) for it in sockets]


def router_yaml(layout: Layout, router: Router) -> dict[str, Any]:
    """The configuration of one router."""
    backends = [sampler.endpoint for sampler in layout.samplers]
    return {
        "receivers": {
            "otlp": {
                "protocols": {
                    "grpc": {"endpoint": f"127.0.0.1:{router.grpc_port}"},
                    "http": {"endpoint": f"127.0.0.1:{router.http_port}"},
                }
            }
        },
        "exporters": {
            "load_balancing": {
                "routing_key": "traceID",
                "protocol": {"otlp": {"tls": {"insecure": True}}},
                "resolver": {"static": {"hostnames": backends}},
            }
        },
        "extensions": _extensions(router.health_port),
        "service": _service(
            router.metrics_port,
            {"receivers": ["otlp"], "exporters": ["load_balancing"]},
        ),
    }


def sampler_yaml(layout: Layout, sampler: Sampler) -> dict[str, Any]:
    """The configuration of one sampler."""
    grpc = {"endpoint": f"127.0.0.1:{sampler.grpc_port}"}
    return {
        "receivers": {"otlp": {"protocols": {"grpc": grpc}}},
        "processors": {
            "tail_sampling": {
                "decision_wait": f"{layout.decision_wait_s}s",
                "num_traces": 50_000,
                "policies": list(POLICIES),
            }
        },
        "exporters": {
            "otlp": {
                "endpoint": f"127.0.0.1:{layout.sink_port}",
                "tls": {"insecure": True},
            }
        },
        "extensions": _extensions(sampler.health_port),
        "service": _service(
            sampler.metrics_port,
            {
                "receivers": ["otlp"],
                "processors": ["tail_sampling"],
                "exporters": ["otlp"],
            },
        ),
    }


def _extensions(health_port: int) -> dict[str, Any]:
    return {"health_check": {"endpoint": f"127.0.0.1:{health_port}"}}


def _service(metrics_port: int, pipeline: dict[str, Any]) -> dict[str, Any]:
    prometheus = {"host": "127.0.0.1", "port": metrics_port}
    return {
        "extensions": ["health_check"],
        "telemetry": {
            "metrics": {"readers": [{"pull": {"exporter": {"prometheus": prometheus}}}]}
        },
        "pipelines": {"traces": pipeline},
    }
