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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from tailring_otlpio.extensions import Extensions, Stored
from tailring_otlpio.heritage import Heritage
from tailring_otlpio.inlet import Inlet, Way
from tailring_otlpio.intake import ReceiverSettings
from tailring_otlpio.making import MakeExporter, Makers, Making, Part, make_exporter
from tailring_otlpio.metadata_keys import metadata_keys_of
from tailring_otlpio.receiver import OtlpReceiver
from tailring_otlpio.receiver_config import OtlpReceiverConfig
from tailring_pipeline import (
    BatchConfig,
    BatchProcessor,
    BatchSettings,
    Consumer,
    MemoryLimiter,
    MemoryLimiterConfig,
    MemorySettings,
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

__all__ = ["Assembly", "Chain"]

PartT = TypeVar("PartT", bound=Stage)


@dataclass(frozen=True, slots=True)
class Chain:
    """The processors of one pipeline, in data order, and where its data goes in.

    A processor is mostly one part, sometimes one for each exporter behind it.
    """

    levels: Sequence[Sequence[Part]]
    head: Consumer


class Assembly:
    """All parts of one process; made on the running loop, not started."""

    def __init__(
        self,
        config: CollectorConfig,
        *,
        metrics: Metrics,
        makers: Makers | None = None,
        reuse_port: bool = False,
        heritage: Heritage | None = None,
    ) -> None:
        """``makers`` are the service's own.

        With ``reuse_port`` other receivers may listen where these do. What ``heritage``
        takes over is not made again, and `take_over` completes it.
        """
        self.config = config
        self._reuse_port = reuse_port
        self._heritage = heritage or Heritage(None, config)
        self._metrics = metrics
        self._makers = makers or Makers()
        self._counted: dict[int, Metrics] = {}
        self._made: list[Metrics] = []
        try:
            self._make()
        except BaseException:
            self.discard()
            raise

    def _make(self) -> None:
        config = self.config
        self.extensions = Extensions(
            config,
            metrics=self._metrics,
            makers=self._makers.extensions,
            kept=self._heritage.extensions(),
        )
        self.extensions.files.update(self._heritage.files())
        self.exporters = self._make_exporters()
        self.chains = {
            pipeline_id: self._make_chain(pipeline_id, pipeline)
            for pipeline_id, pipeline in config.service.pipelines.items()
        }
        self._feeds = self._make_feeds()
        self.inlets: dict[tuple[ComponentId, Signal], Inlet] = {}
        self.receivers = self._make_receivers()

    @property
    def processors(self) -> list[list[Part]]:
        """The parts of each pipeline, in data order."""
        chains = self.chains.values()
        return [[part for level in chain.levels for part in level] for chain in chains]

    @property
    def stages(self) -> Sequence[Sequence[Stage]]:
        """Groups of stages in data order; those of a group stand side by side.

        Extensions are last of the last group: they start first and end last.
        """
        chains = [chain.levels for chain in self.chains.values()]
        levels: list[list[Stage]] = [
            [part for chain in chains if at < len(chain) for part in chain[at]]
            for at in range(max(map(len, chains)))
        ]
        last = [*self.exporters.values(), *self.extensions.parts.values()]
        return [[*self.receivers.values()], *levels, last]

    def follow(self, health: Health) -> None:
        """Let the receivers' ``grpc.health.v1`` answer what ``health`` says."""

        def tell(state: State) -> None:
            for receiver in self.receivers.values():
                receiver.set_ready(state is State.RUNNING)

        health.follow(tell)

    def take_over(self) -> list[Way]:
        """Let receivers that go on feed these pipelines, and parts that adopt a block
        follow it: one step, without waiting. Returned are the ways that led to what is
        replaced; requests may still be on them."""
        self._made.clear()
        left = [
            self.inlets[key].point(fan_out(heads)) for key, heads in self._feeds.items()
        ]
        for part, model in self._heritage.adoptions:
            part.adopt(model)
        return [way for way in left if way is not None]

    @property
    def adopts(self) -> bool:
        """Whether a part that goes on adopts a new block."""
        return bool(self._heritage.adoptions)

    def stored(self, part: Stage) -> Stored | None:
        """Where an exporter keeps its queue on disk, if it does."""
        for key, exporter in self.exporters.items():
            if exporter is part:
                return self.extensions.stored.get(key)
        return None

    def forget(self, part: Stage) -> None:
        """A part that was replaced has ended; what it counted is kept."""
        counted = self._counted.pop(id(part), None)
        if counted is not None:
            self._metrics.retire(counted)

    def discard(self) -> None:
        """The parts that were made for this assembly will never live: nothing that
        they count is shown."""
        for metrics in self._made:
            self._metrics.drop(metrics)
        self._made.clear()

    def _own_metrics(self, make: Callable[[Metrics], PartT]) -> PartT:
        """A part that counts in metrics of its own, as it may be replaced one day."""
        metrics = self._metrics.child()
        self._made.append(metrics)
        part = make(metrics)
        self._counted[id(part)] = metrics
        return part

    def _go_on(self, part: PartT) -> PartT:
        """A part of the assembly before, with its metrics."""
        assert self._heritage.before is not None
        counted = self._heritage.before._counted.get(id(part))
        if counted is not None:
            self._counted[id(part)] = counted
        return part

    def _used(self, kind: str) -> dict[tuple[ComponentId, Signal], None]:
        # In the order in which they are named.
        return {
            (component, Signal(pipeline_id.type)): None
            for pipeline_id, pipeline in self.config.service.pipelines.items()
            for component in getattr(pipeline, kind)
        }

    def _make_exporters(self) -> dict[tuple[ComponentId, Signal], Part]:
        made: dict[tuple[ComponentId, Signal], Part] = {}
        for component, signal in self._used("exporters"):
            part = self._heritage.exporter(component, signal)
            if part is not None:
                made[component, signal] = self._go_on(part)
                self._keep_store(component, signal)
                continue
            model = self.config.exporters[component]
            make = self._makers.exporters.get(type(model), make_exporter)
            made[component, signal] = self._own_metrics(
                partial(self._exporter, make, model, component, signal)
            )
        return made

    def _keep_store(self, component: ComponentId, signal: Signal) -> None:
        assert self._heritage.before is not None
        stored = self._heritage.before.extensions.stored.get((component, signal))
        if stored is not None:
            self.extensions.stored[component, signal] = stored

    def _make_chain(self, pipeline_id: ComponentId, pipeline: Pipeline) -> Chain:
        signal = Signal(pipeline_id.type)
        behind = [self.exporters[one, signal] for one in pipeline.exporters]
        chain = self._heritage.chain(pipeline_id, behind)
        if chain is None:
            return self._make_processors(pipeline, signal)
        for level in chain.levels:
            for part in level:
                self._go_on(part)
        return chain

    def _make_processors(self, pipeline: Pipeline, signal: Signal) -> Chain:
        """One pipeline's processors.

        A `batch` may send parts of what was rejected again, so each exporter has one of
        its own: what one exporter rejects does not reach the others twice.
        """
        chain: list[list[Part]] = []
        heads: list[Consumer] = [
            self.exporters[one, signal] for one in pipeline.exporters
        ]
        models = [self.config.processors[one] for one in pipeline.processors]
        for at in reversed(range(len(models))):
            component, model = pipeline.processors[at], models[at]
            if not isinstance(model, BatchConfig):
                heads = [fan_out(heads)]
            # A service's own processor holds data itself and waits for nobody.
            waited_for = not any(
                type(m) in self._makers.processors for m in models[:at]
            )
            settings = BatchSettings(signal=signal)
            if not waited_for:
                settings = replace(settings, quiet_s=0)
            make = partial(self._processor, component, model, settings=settings)
            made = [self._own_metrics(partial(make, head)) for head in heads]
            chain.insert(0, made)
            heads = [*made]
        return Chain(chain, fan_out(heads))

    def _exporter(
        self,
        make: MakeExporter,
        model: ConfigModel,
        component: ComponentId,
        signal: Signal,
        metrics: Metrics,
    ) -> Part:
        marks = bool(metadata_keys_of(self.config))
        making = Making(component, signal, metrics, self.extensions, marks)
        return make(model, making)

    def _processor(
        self,
        component: ComponentId,
        model: ConfigModel,
        consumer: Consumer,
        metrics: Metrics,
        *,
        settings: BatchSettings,
    ) -> Part:
        name = str(component)
        own = self._makers.processors.get(type(model))
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
                    settings=MemorySettings(
                        signal=settings.signal, workers=self._makers.workers
                    ),
                )
        raise AssertionError(f"no processor is made from {type(model).__name__}")

    def _make_feeds(self) -> dict[tuple[ComponentId, Signal], list[Consumer]]:
        """Where each signal of each receiver goes."""
        pipelines = self.config.service.pipelines
        return {
            (component, signal): [
                self.chains[pipeline_id].head
                for pipeline_id, pipeline in pipelines.items()
                if pipeline_id.type == signal.value and component in pipeline.receivers
            ]
            for component, signal in self._used("receivers")
        }

    def _make_receivers(self) -> dict[ComponentId, OtlpReceiver]:
        receivers: dict[ComponentId, OtlpReceiver] = {}
        for component in dict.fromkeys(component for component, _ in self._feeds):
            signals = [signal for one, signal in self._feeds if one == component]
            known = self._heritage.receiver(component, signals)
            for signal in signals:
                key = (component, signal)
                if known is not None and self._heritage.before is not None:
                    self.inlets[key] = self._heritage.before.inlets[key]
                else:
                    self.inlets[key] = Inlet(fan_out(self._feeds[key]))
            receivers[component] = (
                self._go_on(known)
                if known is not None
                else self._own_metrics(partial(self._receiver, component))
            )
        return receivers

    def _receiver(self, component: ComponentId, metrics: Metrics) -> OtlpReceiver:
        model = self.config.receivers[component]
        assert isinstance(model, OtlpReceiverConfig)
        inlets = {
            s: inlet for (one, s), inlet in self.inlets.items() if one == component
        }
        return OtlpReceiver(
            model,
            consumers=inlets,
            metrics=metrics,
            name=str(component),
            settings=ReceiverSettings(
                extensions=self.extensions,
                reuse_port=self._reuse_port,
                metadata_keys=metadata_keys_of(self.config),
            ),
        )
