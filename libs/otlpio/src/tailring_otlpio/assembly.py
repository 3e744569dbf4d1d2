"""The parts of a service put together as its configuration says.

    receivers -> processors, in the order of each pipeline -> exporters

What it is: the wiring that both services share, and the parts that both can run. A
service adds how its own exporters and processors are made from their models; who stands
behind whom, what is shared, and in which order parts start and drain is decided here.

Parts are made against the flow of data, because each is given the one behind it.
A receiver is shared by the pipelines that name it and serves their signals; an
exporter is shared by those of one signal, so that what it holds is never mixed.
Processors are made for each pipeline anew, as upstream does, and a `batch` for each
exporter behind it. Only what a pipeline names is made. Extensions come before all parts
that name them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from tailring_otlpio.client_config import OtlpExporterConfig
from tailring_otlpio.credentials import client_credentials
from tailring_otlpio.exporter import OtlpExporter
from tailring_otlpio.extensions import Extensions
from tailring_otlpio.intake import ReceiverSettings
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
    MemorySettings,
    NopConfig,
    NopExporter,
    Signal,
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
MakeExporter = Callable[[ComponentId, Any, Signal], Part]
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
        reuse_port: bool = False,
    ) -> None:
        """``exporters`` and ``processors`` are the service's own, by their models.

        A service whose parts name extensions makes the ``extensions`` before them.
        With ``reuse_port`` other receivers may listen where these do.
        """
        self._reuse_port = reuse_port
        self._config = config
        self._metrics = metrics
        self._own_processors = processors or {}
        self.extensions = extensions or Extensions(config, metrics=metrics)
        self.exporters = self._make_exporters(exporters or {})
        # Of each pipeline, of each of its processors: the parts, mostly one.
        self._chains: list[list[list[Part]]] = []
        heads = {
            pipeline_id: self._make_processors(pipeline, Signal(pipeline_id.type))
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

    def _used(self, kind: str) -> dict[tuple[ComponentId, Signal], None]:
        # In the order in which they are named.
        return {
            (component, Signal(pipeline_id.type)): None
            for pipeline_id, pipeline in self._config.service.pipelines.items()
            for component in getattr(pipeline, kind)
        }

    def _make_exporters(
        self, own: Mapping[type[ConfigModel], MakeExporter]
    ) -> dict[tuple[ComponentId, Signal], Part]:
        made: dict[tuple[ComponentId, Signal], Part] = {}
        for component, signal in self._used("exporters"):
            model = self._config.exporters[component]
            make = own.get(type(model), self._exporter)
            made[component, signal] = make(component, model, signal)
        return made

    def _make_processors(self, pipeline: Pipeline, signal: Signal) -> Consumer:
        """One pipeline's processors; returns where its data goes in.

        A `batch` may send parts of what was rejected again, so each exporter has one of
        its own: what one exporter rejects does not reach the others twice.
        """
        chain: list[list[Part]] = []
        heads: list[Consumer] = [
            self.exporters[one, signal] for one in pipeline.exporters
        ]
        models = [self._config.processors[one] for one in pipeline.processors]
        for at in reversed(range(len(models))):
            component, model = pipeline.processors[at], models[at]
            if not isinstance(model, BatchConfig):
                heads = [fan_out(heads)]
            # A service's own processor holds data itself and waits for nobody.
            waited_for = not any(type(m) in self._own_processors for m in models[:at])
            settings = BatchSettings(signal=signal)
            if not waited_for:
                settings = replace(settings, quiet_s=0)
            made = [
                self._processor(component, model, consumer=head, settings=settings)
                for head in heads
            ]
            chain.insert(0, made)
            heads = [*made]
        self._chains.append(chain)
        return fan_out(heads)

    def _exporter(
        self, component: ComponentId, model: ConfigModel, signal: Signal
    ) -> Part:
        name = str(component)
        metrics = ExporterMetrics(self._metrics, name, signal=signal)
        match model:
            case OtlpExporterConfig():
                credentials = client_credentials(
                    model,
                    where=f"exporters::{name}",
                    metrics=self._metrics,
                    extensions=self.extensions,
                )
                return OtlpExporter(model, metrics=metrics, credentials=credentials)
            case DebugConfig():
                return DebugExporter(model, metrics=metrics)
            case NopConfig():
                return NopExporter(metrics=metrics)
        raise AssertionError(f"no exporter is made from {type(model).__name__}")

    def _processor(
        self,
        component: ComponentId,
        model: ConfigModel,
        *,
        consumer: Consumer,
        settings: BatchSettings,
    ) -> Part:
        metrics, name = self._metrics, str(component)
        own = self._own_processors.get(type(model))
        if own is not None:
            return own(component, model, consumer)
        match model:
            case BatchConfig():
                return BatchProcessor(
                    model,
                    consumer=consumer,
                    metrics=metrics,
                    name=name,
                    settings=settings,
                )
            case MemoryLimiterConfig():
                return MemoryLimiter(
                    model,
                    consumer=consumer,
                    metrics=metrics,
                    name=name,
                    settings=MemorySettings(signal=settings.signal),
                )
        raise AssertionError(f"no processor is made from {type(model).__name__}")

    def _make_receivers(
        self, heads: dict[ComponentId, Consumer]
    ) -> dict[ComponentId, OtlpReceiver]:
        receivers: dict[ComponentId, OtlpReceiver] = {}
        pipelines = self._config.service.pipelines
        fed: dict[ComponentId, dict[Signal, list[Consumer]]] = {}
        for component, signal in self._used("receivers"):
            fed.setdefault(component, {})[signal] = [
                heads[pipeline_id]
                for pipeline_id, pipeline in pipelines.items()
                if pipeline_id.type == signal.value and component in pipeline.receivers
            ]
        for component, by_signal in fed.items():
            model = self._config.receivers[component]
            assert isinstance(model, OtlpReceiverConfig)
            receivers[component] = OtlpReceiver(
                model,
                consumers={one: fan_out(every) for one, every in by_signal.items()},
                metrics=self._metrics,
                name=str(component),
                settings=ReceiverSettings(
                    extensions=self.extensions, reuse_port=self._reuse_port
                ),
            )
        return receivers
