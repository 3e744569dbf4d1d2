"""The parts of a service put together as its configuration says.

    receivers -> processors, in the order of each pipeline -> exporters

What it is: the wiring that both services share, and the parts that both can run. A
service adds how its own exporters and processors are made from their models; who stands
behind whom, what is shared, and in which order parts start and drain is decided here.

Parts are made against the flow of data, because each is given the one behind it.
Exporters and receivers are shared by the pipelines that name them; processors are made
for each pipeline anew, as upstream does, and a `batch` for each exporter behind it.
Only what a pipeline names is made. Extensions come before all parts that name them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from tailring_otlpio.client_config import OtlpExporterConfig
from tailring_otlpio.exporter import OtlpExporter
from tailring_otlpio.extensions import Extensions
from tailring_otlpio.receiver import OtlpReceiver
from tailring_otlpio.receiver_config import OtlpReceiverConfig
from tailring_pipeline import (
    BatchConfig,
    BatchProcessor,
    BatchSettings,
    Consumer,
    DebugConfig,
    DebugExporter,
    ExporterMetrics,
    MemoryLimiter,
    MemoryLimiterConfig,
    NopConfig,
    NopExporter,
    Stage,
    fan_out,
)
from tailring_runtime.config import (
    CollectorConfig,
    ComponentId,
    ConfigModel,
    Pipeline,
)
from tailring_runtime.health import Health, State
from tailring_runtime.metrics import Metrics

__all__ = ["Assembly", "MakeExporter", "MakeProcessor", "Part"]


class Part(Consumer, Stage, Protocol):
    """What stands behind a receiver: it takes batches and has a life."""


# From a component's id and its model (of the type it is registered for) to its part.
MakeExporter = Callable[[ComponentId, Any], Part]
MakeProcessor = Callable[[ComponentId, Any, Consumer], Part]


class Assembly:
    """All parts of one process; made on the running loop, not started."""

    def __init__(
        self,
        config: CollectorConfig,
        *,
        metrics: Metrics,
        exporters: Mapping[type[ConfigModel], MakeExporter] | None = None,
        processors: Mapping[type[ConfigModel], MakeProcessor] | None = None,
        extensions: Extensions | None = None,
    ) -> None:
        """``exporters`` and ``processors`` are the service's own, by their models.

        A service whose parts name extensions makes the ``extensions`` before them.
        """
        self._config = config
        self._metrics = metrics
        self._own_processors = processors or {}
        self.extensions = extensions or Extensions(config, metrics=metrics)
        self.exporters = self._make_exporters(exporters or {})
        # Of each pipeline, of each of its processors: the parts, mostly one.
        self._chains: list[list[list[Part]]] = []
        heads = {
            pipeline_id: self._make_processors(pipeline)
            for pipeline_id, pipeline in config.service.pipelines.items()
        }
        self.receivers = self._make_receivers(heads)

    @property
    def processors(self) -> list[list[Part]]:
        """The parts of each pipeline, in data order."""
        return [[part for level in chain for part in level] for chain in self._chains]

    @property
    def stages(self) -> Sequence[Sequence[Stage]]:
        """Groups of stages in data order; those of a group stand side by side.

        Extensions are last of the last group: they start first and end last.
        """
        depth = max(len(chain) for chain in self._chains)
        levels: list[list[Stage]] = [
            [p for chain in self._chains if at < len(chain) for p in chain[at]]
            for at in range(depth)
        ]
        last = [*self.exporters.values(), *self.extensions.parts.values()]
        return [[*self.receivers.values()], *levels, last]

    def follow(self, health: Health) -> None:
        """Let the receivers' ``grpc.health.v1`` answer what ``health`` says."""

        def tell(state: State) -> None:
            for receiver in self.receivers.values():
                receiver.set_ready(state is State.RUNNING)

        health.follow(tell)

    def _used(self, kind: str) -> dict[ComponentId, None]:
        # In the order in which they are named.
        return {
            component: None
            for pipeline in self._config.service.pipelines.values()
            for component in getattr(pipeline, kind)
        }

    def _make_exporters(
        self, own: Mapping[type[ConfigModel], MakeExporter]
    ) -> dict[ComponentId, Part]:
        made: dict[ComponentId, Part] = {}
        for component in self._used("exporters"):
            model = self._config.exporters[component]
            make = own.get(type(model), self._exporter)
            made[component] = make(component, model)
        return made

    def _make_processors(self, pipeline: Pipeline) -> Consumer:
        """One pipeline's processors; returns where its data goes in.

        A `batch` may send parts of what was rejected again, so each exporter has one of
        its own: what one exporter rejects does not reach the others twice.
        """
        chain: list[list[Part]] = []
        heads: list[Consumer] = [self.exporters[one] for one in pipeline.exporters]
        models = [self._config.processors[one] for one in pipeline.processors]
        for at in reversed(range(len(models))):
            component, model = pipeline.processors[at], models[at]
            if not isinstance(model, BatchConfig):
                heads = [fan_out(heads)]
            # A service's own processor holds data itself and waits for nobody.
            waited_for = not any(type(m) in self._own_processors for m in models[:at])
            made = [
                self._processor(component, model, consumer=head, waited_for=waited_for)
                for head in heads
            ]
            chain.insert(0, made)
            heads = [*made]
        self._chains.append(chain)
        return fan_out(heads)

    def _exporter(self, component: ComponentId, model: ConfigModel) -> Part:
        metrics, name = self._metrics, str(component)
        match model:
            case OtlpExporterConfig():
                return OtlpExporter(model, metrics=metrics, name=name)
            case DebugConfig():
                return DebugExporter(model, metrics=ExporterMetrics(metrics, name))
            case NopConfig():
                return NopExporter(metrics=ExporterMetrics(metrics, name))
        raise AssertionError(f"no exporter is made from {type(model).__name__}")

    def _processor(
        self,
        component: ComponentId,
        model: ConfigModel,
        *,
        consumer: Consumer,
        waited_for: bool,
    ) -> Part:
        metrics, name = self._metrics, str(component)
        own = self._own_processors.get(type(model))
        if own is not None:
            return own(component, model, consumer)
        match model:
            case BatchConfig():
                settings = BatchSettings() if waited_for else BatchSettings(quiet_s=0)
                return BatchProcessor(
                    model,
                    consumer=consumer,
                    metrics=metrics,
                    name=name,
                    settings=settings,
                )
            case MemoryLimiterConfig():
                return MemoryLimiter(
                    model, consumer=consumer, metrics=metrics, name=name
                )
        raise AssertionError(f"no processor is made from {type(model).__name__}")

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
