"""The wiring that both services share: who stands behind whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tailring_otlpio import Assembly, Makers, OtlpReceiverConfig, Part
from tailring_pipeline import (
    BatchConfig,
    DebugConfig,
    MemoryLimiterConfig,
    NopConfig,
)
from tailring_runtime.config import (
    HEALTH_CHECK,
    ComponentId,
    ComponentType,
    ConfigModel,
    Registry,
    load,
)
from tailring_runtime.health import Health, State
from tailring_runtime.metrics import Metrics
from tailring_testkit.sink import Sink

LIMIT = {"check_interval": "1s", "limit_mib": 100}


class HoldConfig(ConfigModel):
    """A service's own processor."""


class GuardConfig(ConfigModel):
    """An extension."""


class SinkPart(Sink):
    """A sink with the life of a part."""

    async def start(self) -> None:
        """Nothing to begin."""

    def close(self) -> None:
        """Nothing to stop."""

    async def join(self, timeout_s: float) -> None:
        """Nothing to flush."""

    async def terminate(self) -> None:
        """Nothing to release."""


REGISTRY = Registry(
    service="test",
    types=(
        ComponentType("receiver", "otlp", OtlpReceiverConfig),
        ComponentType("processor", "batch", BatchConfig),
        ComponentType("processor", "memory_limiter", MemoryLimiterConfig),
        ComponentType("processor", "hold", HoldConfig),
        ComponentType("exporter", "debug", DebugConfig),
        ComponentType("exporter", "nop", NopConfig),
        ComponentType("extension", "guard", GuardConfig),
        HEALTH_CHECK,
    ),
)


def _assemble(
    folder: Path, pipelines: dict[str, Any], *, extensions: tuple[str, ...] = ()
) -> Assembly:
    grpc = {"protocols": {"grpc": {"endpoint": "127.0.0.1:0"}}}
    tree = {
        "receivers": {"otlp": grpc, "otlp/2": grpc},
        "processors": {"batch": None, "memory_limiter": LIMIT, "hold": None},
        "exporters": {"debug": None, "nop": None},
        "extensions": {"guard/1": None, "guard/2": None, "health_check": None},
        "service": {
            "pipelines": pipelines,
            "extensions": list(extensions),
        },
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(tree))
    config = load([str(path)], environ={}, registry=REGISTRY).config

    def hold(_component: ComponentId, _model: HoldConfig, _consumer: object) -> Part:
        return SinkPart()

    def guard(_component: ComponentId, _model: GuardConfig, _metrics: object) -> Part:
        return SinkPart()

    makers = Makers(processors={HoldConfig: hold}, extensions={GuardConfig: guard})
    return Assembly(config, metrics=Metrics(), makers=makers)


def _names(assembly: Assembly) -> list[list[str]]:
    return [[type(stage).__name__ for stage in group] for group in assembly.stages]


def _pipeline(*processors: str, **more: list[str]) -> dict[str, Any]:
    return {
        "receivers": ["otlp"],
        "processors": list(processors),
        "exporters": ["nop"],
        **more,
    }


async def test_stages_stand_in_data_order(tmp_path: Path) -> None:
    """Receivers first, processors as written, exporters last."""
    chain = _pipeline("memory_limiter", "batch")
    assembly = _assemble(tmp_path, {"traces": chain})
    assert _names(assembly) == [
        ["OtlpReceiver"],
        ["MemoryLimiter"],
        ["BatchProcessor"],
        ["NopExporter"],
    ]


async def test_extensions_are_made_of_what_the_service_lists(tmp_path: Path) -> None:
    """One that is listed starts first and ends last; health_check is no part."""
    assembly = _assemble(
        tmp_path, {"traces": _pipeline()}, extensions=("health_check", "guard/2")
    )
    assert _names(assembly) == [["OtlpReceiver"], ["NopExporter", "SinkPart"]]
    listed = ComponentId("guard", "2")
    assert list(assembly.extensions.parts) == [listed]
    assert isinstance(assembly.extensions.find(listed, SinkPart), SinkPart)


async def test_only_what_a_pipeline_names_is_made(tmp_path: Path) -> None:
    """Components that are defined and not used have no part."""
    assembly = _assemble(tmp_path, {"traces": _pipeline()})
    assert [str(one) for one in assembly.receivers] == ["otlp"]
    assert [str(one) for one, _signal in assembly.exporters] == ["nop"]


async def test_pipelines_share_receivers_and_exporters_but_no_processor(
    tmp_path: Path,
) -> None:
    """Two pipelines with one receiver and one exporter have two batch processors."""
    both = {"traces": _pipeline("batch"), "traces/2": _pipeline("batch")}
    assembly = _assemble(tmp_path, both)
    assert _names(assembly) == [
        ["OtlpReceiver"],
        ["BatchProcessor", "BatchProcessor"],
        ["NopExporter"],
    ]


async def test_each_exporter_has_a_batch_of_its_own(tmp_path: Path) -> None:
    """A batch in front of two exporters is made twice, what is before it once."""
    chain = _pipeline("memory_limiter", "batch", exporters=["nop", "debug"])
    assembly = _assemble(tmp_path, {"traces": chain})
    assert _names(assembly) == [
        ["OtlpReceiver"],
        ["MemoryLimiter"],
        ["BatchProcessor", "BatchProcessor"],
        ["NopExporter", "DebugExporter"],
    ]


@pytest.mark.parametrize(
    ("processors", "quiet"),
    [(["batch"], True), (["batch", "hold"], True), (["hold", "batch"], False)],
)
async def test_a_batch_hurries_only_for_those_who_wait(
    tmp_path: Path, processors: list[str], quiet: bool
) -> None:
    """Behind the service's own processor, which waits for nobody, a batch is filled as
    its timeout says; behind clients it goes when nobody else comes."""
    assembly = _assemble(tmp_path, {"traces": _pipeline(*processors)})
    (chain,) = assembly.processors
    (batch,) = (part for part in chain if type(part).__name__ == "BatchProcessor")
    assert bool(vars(batch)["_settings"].quiet_s) is quiet


async def test_receivers_follow_the_health(tmp_path: Path) -> None:
    """A service that runs tells its receivers so, and that it drains as well."""
    assembly = _assemble(tmp_path, {"traces": _pipeline()})
    told: list[bool] = []
    (receiver,) = assembly.receivers.values()
    vars(receiver)["set_ready"] = told.append
    health = Health()
    assembly.follow(health)
    for state in (State.RUNNING, State.DRAINING):
        health.move(state)
    assert told == [True, False]
