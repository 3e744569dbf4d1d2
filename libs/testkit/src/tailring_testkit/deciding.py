"""Several ``tail_sampling`` side by side, whose kept traces go to a file each, in the
real collector and in ours alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tailring_testkit import ports, services
from tailring_testkit.process import http_ok, running

__all__ = ["deciding", "sampler"]


def deciding(
    sets: Mapping[str, Mapping[str, Any]], *, port: int, folder: Path
) -> dict[str, Any]:
    """The configuration: ``sets`` has the keys of each ``tail_sampling`` by name, all
    fed from ``port``; the kept traces of one go to ``folder/<name>.jsonl``."""
    endpoint = {"endpoint": f"127.0.0.1:{port}"}
    return {
        "receivers": {"otlp": {"protocols": {"grpc": endpoint}}},
        "processors": {f"tail_sampling/{name}": {**sets[name]} for name in sets},
        "exporters": {
            f"file/{name}": {
                "path": str(folder / f"{name}.jsonl"),
                "flush_interval": "100ms",
            }
            for name in sets
        },
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {
                f"traces/{name}": {
                    "receivers": ["otlp"],
                    "processors": [f"tail_sampling/{name}"],
                    "exporters": [f"file/{name}"],
                }
                for name in sets
            },
        },
    }


@contextmanager
def sampler(config: dict[str, Any], folder: Path, *options: str) -> Iterator[None]:
    """Our sampler with that configuration, while it is ready."""
    health = f"127.0.0.1:{ports.free_port()}"
    config["extensions"] = {"health_check": {"endpoint": health}}
    config["service"]["extensions"] = ["health_check"]
    path = folder / "sampler.yaml"
    path.write_text(yaml.safe_dump(config))
    with running(
        [services.command("tailring-sampler"), "run", "--config", path, *options],
        log=folder / "sampler.log",
        ready=http_ok(f"http://{health}/readyz"),
    ):
        yield
