"""The parts of a service put together as its configuration says.

    receivers -> processors, in the order of each pipeline -> exporters

What it is: the part of the wiring that both services share. A service says how one
exporter and one processor are made from its model; everything else (who stands behind
whom, what is shared, in which order parts start and drain) is decided here once.

Parts are made against the flow of data, because each is given the one behind it.
Exporters and receivers are shared by the pipelines that name them; processors are made
for each pipeline anew, as upstream does. Only what a pipeline names is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from tailring_otlpio.receiver import OtlpReceiver
from tailring_otlpio.receiver_config import OtlpReceiverConfig
from tailring_pipeline import Consumer, Stage, fan_out
from tailring_runtime.config import (
    CollectorConfig,
    ComponentId,
    ConfigModel,
    Pipeline,
)
from tailring_runtime.health import Health, State
from tailring_runtime.metrics import Metrics

__all__ = ["Assembly", "Part"]


class Part(Consumer, Stage, Protocol):
    """What stands behind a receiver: it takes batches and has a life."""


E_co = TypeVar("E_co", bound=Part, covariant=True)
MakeExporter = Callable[[ComponentId, ConfigModel], E_co]
MakeProcessor = Callable[[ComponentId, ConfigModel, Consumer], Part]


class Assembly(Generic[E_co]):
    """All parts of one process; made on the running loop, not started."""

    def __init__(
        self,
        config: CollectorConfig,
        *,
        metrics: Metrics,
        exporter: MakeExporter[E_co],
        processor: MakeProcessor,
    ) -> None:
        """``exporter`` and ``processor`` make one part from its id and its model."""
        self._config = config
        self._metrics = metrics
        self.exporters: dict[ComponentId, E_co] = {
            component: exporter(component, config.exporters[component])
            for component in self._used("exporters")
        }
        self.processors: list[list[Part]] = []
        heads = {
            pipeline_id: self._make_processors(pipeline, processor)
            for pipeline_id, pipeline in config.service.pipelines.items()
        }
        self.receivers = self._make_receivers(heads)

    @property
    def stages(self) -> Sequence[Sequence[Stage]]:
        """Groups of stages in data order; those of a group stand side by side."""
        depth = max(len(chain) for chain in self.processors)
        levels: list[list[Stage]] = [
            [chain[level] for chain in self.processors if level < len(chain)]
            for level in range(depth)
        ]
        return [[*self.receivers.values()], *levels, [*self.exporters.values()]]

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

    def _make_processors(self, pipeline: Pipeline, make: MakeProcessor) -> Consumer:
        """One pipeline's processors; returns where its data goes in."""
        chain: list[Part] = []
        consumer = fan_out([self.exporters[one] for one in pipeline.exporters])
        for component in reversed(pipeline.processors):
            part = make(component, self._config.processors[component], consumer)
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
