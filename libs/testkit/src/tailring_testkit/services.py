"""Our own two services as child processes on free ports of loopback.

They are the installed commands, started with a configuration file as an operator
would write it: what a test sees here is what a user gets.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tailring_testkit import ports, prom
from tailring_testkit.process import Child, http_ok, running

__all__ = ["Service", "command", "router", "sampler", "service"]

Yaml = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Service:
    """A running router or sampler and where it listens."""

    child: Child
    grpc_port: int
    http_port: int
    metrics_port: int
    health_port: int

    @property
    def target(self) -> str:
        """Where it takes OTLP/gRPC, as ``host:port``."""
        return f"127.0.0.1:{self.grpc_port}"

    def metrics(self) -> prom.Scrape:
        """Its metrics page, now."""
        return prom.scrape(self.metrics_port)


def command(name: str) -> Path:
    """The installed command of that name, beside the interpreter that runs the test."""
    path = Path(sys.executable).with_name(name)
    assert path.exists(), f"{path} is not installed (run: make install)"
    return path


@contextmanager
def service(
    name: str, config: Yaml, folder: Path, *, signals: Sequence[str] = ("traces",)
) -> Iterator[Service]:
    """Run ``tailring-<name>`` with receiver, metrics and health added to ``config``.

    ``config`` is what differs: processors, exporters and ``pipeline``, the keys of a
    pipeline beside its receivers; there is one of each of ``signals``. Ready is what
    its own health page says.
    """
    grpc, http, metrics, health = ports.free_ports(4)
    prometheus = {"host": "127.0.0.1", "port": metrics}
    protocols = {
        "grpc": {"endpoint": f"127.0.0.1:{grpc}"},
        "http": {"endpoint": f"127.0.0.1:{http}"},
    }
    extensions = {
        "health_check": {"endpoint": f"127.0.0.1:{health}"},
        **config.get("extensions", {}),
    }
    full = {
        **{key: value for key, value in config.items() if key != "pipeline"},
        "receivers": {"otlp": {"protocols": protocols}},
        "extensions": extensions,
        "service": {
            "extensions": list(extensions),
            "telemetry": {
                "metrics": {
                    "readers": [{"pull": {"exporter": {"prometheus": prometheus}}}]
                }
            },
            "pipelines": {
                one: {"receivers": ["otlp"], **config["pipeline"]} for one in signals
            },
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{grpc}.yaml"
    path.write_text(yaml.safe_dump(full, sort_keys=False))
    with running(
        [command(f"tailring-{name}"), "--config", path],
        log=path.with_suffix(".log"),
        ready=http_ok(f"http://127.0.0.1:{health}/readyz"),
    ) as child:
        yield Service(child, grpc, http, metrics, health)


@contextmanager
def router(
    folder: Path,
    resolver: Yaml,
    *,
    exporter: Yaml | None = None,
    signals: Sequence[str] = ("traces",),
) -> Iterator[Service]:
    """Run a router with a pipeline for each of ``signals``; ``exporter`` adds keys to
    its ``loadbalancing`` exporter. A queue on disk, ``sending_queue: {storage:
    file_storage}``, is kept in ``folder``."""
    balancing = {
        "protocol": {"otlp": {"tls": {"insecure": True}}},
        "resolver": resolver,
        **(exporter or {}),
    }
    config = {
        "exporters": {"loadbalancing": balancing},
        "pipeline": {"exporters": ["loadbalancing"]},
        "extensions": {},
    }
    if "storage" in balancing.get("sending_queue", {}):
        storage = {"directory": str(folder / "storage"), "create_directory": True}
        config["extensions"] = {"file_storage": storage}
    with service("router", config, folder, signals=signals) as running_service:
        yield running_service


@contextmanager
def sampler(
    folder: Path,
    *,
    backend: str,
    policies: Sequence[Yaml],
    processor: Yaml | None = None,
) -> Iterator[Service]:
    """Run a sampler that exports to ``backend``; decides after one second unless
    ``processor``, further keys of ``tail_sampling``, says otherwise."""
    tail_sampling = {
        "decision_wait": "1s",
        "num_traces": 100_000,
        "policies": list(policies),
        **(processor or {}),
    }
    config = {
        "processors": {"tail_sampling": tail_sampling},
        "exporters": {"otlp": {"endpoint": backend, "tls": {"insecure": True}}},
        "pipeline": {"processors": ["tail_sampling"], "exporters": ["otlp"]},
    }
    with service("sampler", config, folder) as running_service:
        yield running_service
