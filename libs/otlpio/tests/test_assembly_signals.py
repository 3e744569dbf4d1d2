"""The wiring of several signals: what is shared, and what never is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tailring_otlpio import Assembly, OtlpExporterConfig, OtlpReceiverConfig
from tailring_pipeline import (
    BatchConfig,
    DebugConfig,
    MemoryLimiterConfig,
    NopConfig,
    Signal,
)
from tailring_runtime.config import ComponentId, ComponentType, Registry, load
from tailring_runtime.metrics import Metrics
from tailring_testkit.backend import Backend
from tailring_testkit.otlp_clients import GrpcClient
from tailring_testkit.receiver_rig import until
from tailring_testkit.signals import EXPORT, numbers_of, request_of

REGISTRY = Registry(
    service="test",
    types=(
        ComponentType("receiver", "otlp", OtlpReceiverConfig),
        ComponentType("processor", "batch", BatchConfig),
        ComponentType("processor", "memory_limiter", MemoryLimiterConfig),
        ComponentType("exporter", "debug", DebugConfig),
        ComponentType("exporter", "nop", NopConfig),
        ComponentType("exporter", "otlp", OtlpExporterConfig),
    ),
)


def _assemble(
    folder: Path, pipelines: dict[str, Any], endpoint: str = "x:1"
) -> Assembly:
    grpc = {"protocols": {"grpc": {"endpoint": "127.0.0.1:0"}}}
    otlp = {"endpoint": endpoint, "tls": {"insecure": True}}
    tree = {
        "receivers": {"otlp": grpc},
        "processors": {
            "batch": {"send_batch_max_size": 4, "send_batch_size": 4},
            "memory_limiter": {"check_interval": "1s", "limit_mib": 100_000},
        },
        "exporters": {"debug": None, "nop": None, "otlp": otlp},
        "service": {"pipelines": pipelines},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(tree))
    config = load([str(path)], environ={}, registry=REGISTRY).config
    return Assembly(config, metrics=Metrics())


def _pipeline(*exporters: str) -> dict[str, Any]:
    return {
        "receivers": ["otlp"],
        "processors": ["memory_limiter", "batch"],
        "exporters": list(exporters),
    }


async def test_an_exporter_is_made_once_for_each_signal(tmp_path: Path) -> None:
    """Pipelines of one signal share an exporter, those of two never do."""
    pipelines = {
        "traces": _pipeline("nop"),
        "traces/2": _pipeline("nop", "debug"),
        "logs": _pipeline("nop"),
    }
    assembly = _assemble(tmp_path, pipelines)
    nop, debug = ComponentId("nop"), ComponentId("debug")
    assert set(assembly.exporters) == {
        (nop, Signal.TRACES),
        (debug, Signal.TRACES),
        (nop, Signal.LOGS),
    }
    assert len({id(part) for part in assembly.exporters.values()}) == 3


async def test_a_receiver_serves_the_signals_of_its_pipelines(tmp_path: Path) -> None:
    """One receiver feeds pipelines of several signals, each with what is its own, cut
    and joined by itself, and counts each under its name."""
    async with Backend() as backend:
        pipelines = {one.value: _pipeline("otlp") for one in Signal}
        assembly = _assemble(tmp_path, pipelines, backend.address)
        stages = [stage for group in assembly.stages for stage in group]
        for stage in reversed(stages):
            await stage.start()
        (receiver,) = assembly.receivers.values()
        async with GrpcClient(f"127.0.0.1:{receiver.grpc_port}") as client:
            for signal in Signal:
                payload = request_of(signal, range(10))
                await client.export(payload, method=EXPORT[signal])
        await until(lambda: all(backend.received_of.values()))
        for signal, payloads in backend.received_of.items():
            sizes = [numbers_of(signal, payload).total() for payload in payloads]
            assert sizes == [4, 4, 2]
            together = numbers_of(signal, b"".join(payloads))
            assert together == dict.fromkeys(range(10), 1)
        for stage in stages:
            stage.close()
            await stage.join(5.0)
            await stage.terminate()
