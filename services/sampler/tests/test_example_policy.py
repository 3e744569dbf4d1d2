"""The example of a plug-in: installed as a user does it, in a running sampler."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from tailring_testkit import otlp, ports, servers
from tailring_testkit.backend import EXPORT_TRACES
from tailring_testkit.process import http_ok, running, wait_until

EXAMPLE = Path(__file__).parents[3] / "examples" / "tailring-policy-example"
WIDE, NARROW = otlp.trace_ids(2, seed=1)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which the example is installed beside the sampler."""
    source = shutil.copytree(EXAMPLE, tmp_path / "source")
    target = tmp_path / "installed"
    options = ["--offline", "--no-deps", "--no-build-isolation"]
    places = ["--python", sys.executable, "--target", str(target)]
    uv = str(Path(sys.executable).with_name("uv"))
    command = [uv, "pip", "install", "-q", *options, *places, str(source)]
    subprocess.run(command, check=True, timeout=120)
    search = os.pathsep.join([str(target), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": search.rstrip(os.pathsep)}


def config_of(folder: Path, port: int, health: str) -> dict[str, Any]:
    """A sampler that keeps traces of three services and writes them to a file."""
    policy = {
        "name": "wide",
        "type": "many_services",
        "many_services": {"services_min": 3},
    }
    sampling = {"decision_wait": "1s", "policies": [policy]}
    endpoint = {"endpoint": f"127.0.0.1:{port}"}
    return {
        "extensions": {"health_check": {"endpoint": health}},
        "receivers": {"otlp": {"protocols": {"grpc": endpoint}}},
        "processors": {"tail_sampling": sampling},
        "exporters": {"file": {"path": str(folder / "kept.jsonl")}},
        "service": {
            "extensions": ["health_check"],
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {
                "traces": {
                    "receivers": ["otlp"],
                    "processors": ["tail_sampling"],
                    "exporters": ["file"],
                }
            },
        },
    }


def request_of(trace_id: bytes, services: list[str]) -> bytes:
    """A trace with a span of each service."""
    return b"".join(
        otlp.request(
            otlp.span(trace_id, bytes(7) + bytes([at])),
            resource={"service.name": name},
        )
        for at, name in enumerate(services, 1)
    )


def test_the_installed_example_decides(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Of two traces with three spans it keeps the one that three services made."""
    port, health_port = ports.free_ports(2)
    health = f"127.0.0.1:{health_port}"
    path = tmp_path / "sampler.yaml"
    path.write_text(yaml.safe_dump(config_of(tmp_path, port, health)))
    with running(
        [sys.executable, "-m", "tailring_sampler", "--config", path],
        log=tmp_path / "sampler.log",
        ready=http_ok(f"http://{health}/readyz"),
        env=environment,
    ):
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            export: grpc.UnaryUnaryMultiCallable[bytes, bytes]
            export = channel.unary_unary(EXPORT_TRACES)
            export(request_of(NARROW, ["a", "a", "b"]), timeout=30)
            export(request_of(WIDE, ["a", "b", "c"]), timeout=30)
        kept = tmp_path / "kept.jsonl"
        wait_until(lambda: kept.exists() and kept.stat().st_size > 0, "kept spans")
    spans = servers.exported_spans(kept)
    assert [one.trace_id for one in spans] == [WIDE] * 3
