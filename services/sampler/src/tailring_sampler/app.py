"""The sampler, wired by hand.

    receivers -> processors, in the order of each pipeline -> exporters

Parts are made against the flow of data, because each is given the one behind it.
Exporters and receivers are shared by the pipelines that name them; processors are made
for each pipeline anew, as upstream does.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version as version_of

from tailring_otlpio import (
    OtlpExporter,
    OtlpExporterConfig,
    OtlpReceiver,
    OtlpReceiverConfig,
)
from tailring_otlpwire import COMPILED
from tailring_pipeline import (
    BatchConfig,
    BatchProcessor,
    Consumer,
    DebugConfig,
    DebugExporter,
    ExporterMetrics,
    MemoryLimiter,
    MemoryLimiterConfig,
    NopConfig,
    NopExporter,
    fan_out,
)
from tailring_runtime import lifecycle
from tailring_runtime.config import (
    CollectorConfig,
    ComponentId,
    ConfigModel,
    Loaded,
    Pipeline,
)
from tailring_runtime.health import State
from tailring_runtime.metrics import Metrics
from tailring_runtime.process import Identity
from tailring_runtime.settings import Settings
from tailring_runtime.telemetry import Telemetry
from tailring_sampler import tracebuffer
from tailring_sampler.config import TailSamplingConfig
from tailring_sampler.processor import TailSamplingProcessor

__all__ = ["Sampling", "run", "version"]

NAME = "tailring-sampler"

Part = (
    BatchProcessor
    | DebugExporter
    | MemoryLimiter
    | NopExporter
    | OtlpExporter
    | TailSamplingProcessor
)


def version() -> str:
    """The version and the form that runs."""
    compiled = COMPILED and not str(tracebuffer.__file__).endswith(".py")
    return f"{version_of(NAME)} ({'compiled' if compiled else 'pure Python'})"


def run(loaded: Loaded, settings: Settings) -> int:
    """Run the sampler until it is stopped; the exit code."""

    async def main() -> int:
        identity = Identity(NAME, version_of(NAME))
        telemetry = Telemetry(loaded.config, settings, identity=identity)
        app = Sampling(loaded.config, telemetry.metrics)
        telemetry.health.follow(app.follow)
        return await lifecycle.serve(app.stages, telemetry=telemetry, settings=settings)

    return lifecycle.run(main, settings=settings)


class Sampling:
    """All parts of one process; made on the running loop, not started.

    ``stages`` are in data order, parts that stand side by side in one group.
    """

    def __init__(self, config: CollectorConfig, metrics: Metrics) -> None:
        self._config = config
        self._metrics = metrics
        self.exporters = self._make_exporters()
        self.processors: list[list[Part]] = []
        heads = {
            pipeline_id: self._make_processors(pipeline)
            for pipeline_id, pipeline in config.service.pipelines.items()
        }
        self.receivers = self._make_receivers(heads)

    @property
    def stages(self) -> Sequence[Sequence[lifecycle.Stage]]:
        """Groups of stages, in data order."""
        depth = max(len(chain) for chain in self.processors)
        levels = [
            [chain[level] for chain in self.processors if level < len(chain)]
            for level in range(depth)
        ]
        return [list(self.receivers.values()), *levels, list(self.exporters.values())]

    def follow(self, state: State) -> None:
        """Tell the receivers whether the process may be sent work."""
        for receiver in self.receivers.values():
            receiver.set_ready(state is State.RUNNING)

    def _used(self, kind: str) -> dict[ComponentId, None]:
        # Only what a pipeline names is made, in the order in which it is named.
        return {
            component: None
            for pipeline in self._config.service.pipelines.values()
            for component in getattr(pipeline, kind)
        }

    def _make_exporters(self) -> dict[ComponentId, Part]:
        return {
            component: _exporter(
                self._config.exporters[component], self._metrics, name=str(component)
            )
            for component in self._used("exporters")
        }

    def _make_processors(self, pipeline: Pipeline) -> Consumer:
        """One pipeline's processors; returns where its data goes in."""
        chain: list[Part] = []
        consumer = fan_out([self.exporters[one] for one in pipeline.exporters])
        for component in reversed(pipeline.processors):
            part = _processor(
                self._config.processors[component],
                self._metrics,
                component=component,
                consumer=consumer,
            )
            chain.insert(0, part)
            consumer = part
        self.processors.append(chain)
        return consumer

    def _make_receivers(
        self, heads: dict[ComponentId, Consumer]
    ) -> dict[ComponentId, OtlpReceiver]:
        receivers: dict[ComponentId, OtlpReceiver] = {}
        pipelines = self._config.service.pipelines
        for component in self._used("receivers"):
            model = self._config.receivers[component]
            assert isinstance(model, OtlpReceiverConfig)
            fed = [
                heads[pipeline_id]
                for pipeline_id, pipeline in pipelines.items()
                if component in pipeline.receivers
            ]
            receivers[component] = OtlpReceiver(
                model,
                consumer=fan_out(fed),
                metrics=self._metrics,
                name=str(component),
            )
        return receivers


def _exporter(model: ConfigModel, metrics: Metrics, *, name: str) -> Part:
    match model:
        case OtlpExporterConfig():
            return OtlpExporter(model, metrics=metrics, name=name)
        case DebugConfig():
            return DebugExporter(model, metrics=ExporterMetrics(metrics, name))
        case NopConfig():
            return NopExporter(metrics=ExporterMetrics(metrics, name))
    raise AssertionError(f"no exporter is made from {type(model).__name__}")


def _processor(
    model: ConfigModel, metrics: Metrics, *, component: ComponentId, consumer: Consumer
) -> Part:
    match model:
        case TailSamplingConfig():
            return TailSamplingProcessor(
                model, consumer=consumer, metrics=metrics, name=component
            )
        case BatchConfig():
            return BatchProcessor(
                model, consumer=consumer, metrics=metrics, name=str(component)
            )
        case MemoryLimiterConfig():
            return MemoryLimiter(
                model, consumer=consumer, metrics=metrics, name=str(component)
            )
    raise AssertionError(f"no processor is made from {type(model).__name__}")
