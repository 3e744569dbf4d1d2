"""The sampler: receivers, then tail sampling among the processors, then exporters."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from importlib.metadata import version as version_of

from tailring_otlpio import Assembly, Makers, Part
from tailring_otlpwire import COMPILED
from tailring_pipeline import Consumer, memory_total_bytes
from tailring_runtime import lifecycle
from tailring_runtime.config import CollectorConfig, ComponentId, Loaded, switch
from tailring_runtime.feed import Feed
from tailring_runtime.health import Health
from tailring_runtime.metrics import Metrics
from tailring_runtime.pages import Pages
from tailring_runtime.process import Identity
from tailring_runtime.process_pages import add_pipeline_page, add_service_page
from tailring_runtime.settings import Settings
from tailring_runtime.telemetry import Telemetry
from tailring_runtime.zpages import ZPagesConfig, zpages_of
from tailring_sampler import tracebuffer
from tailring_sampler.components import registry
from tailring_sampler.config import TailSamplingConfig
from tailring_sampler.pages import add_sampler_pages
from tailring_sampler.processor import ProcessorSettings, TailSamplingProcessor

__all__ = ["assemble", "follow", "memory_share", "run", "version"]

NAME = "tailring-sampler"
# Part of the memory of the process that all tail sampling may take by default.
MEMORY_SHARE = 2


def version() -> str:
    """The version and the form that runs."""
    compiled = COMPILED and not str(tracebuffer.__file__).endswith(".py")
    return f"{version_of(NAME)} ({'compiled' if compiled else 'pure Python'})"


def run(loaded: Loaded, settings: Settings, feed: Feed | None = None) -> int:
    """Run the sampler until it is stopped; the exit code."""

    async def main() -> int:
        """Wire the stages and serve."""
        identity = Identity(NAME, version_of(NAME))
        telemetry = Telemetry(loaded.config, settings, identity=identity)
        pages = Pages()
        add_service_page(pages, identity=identity, health=telemetry.health)
        gates = switch(settings.feature_gates, registry().all_gates()).on
        assembly = assemble(loaded.config, telemetry.metrics, pages=pages, gates=gates)
        follow(assembly, telemetry.health)
        return await lifecycle.serve(
            assembly.stages, telemetry=telemetry, settings=settings, feed=feed
        )

    return lifecycle.run(main, settings=settings)


def assemble(
    config: CollectorConfig,
    metrics: Metrics,
    *,
    pages: Pages | None = None,
    gates: AbstractSet[str] = frozenset(),
) -> Assembly:
    """All parts of one sampler; made on the running loop, not started.

    ``pages`` are what the process shows besides, ``gates`` what feature gates are on.
    """
    shown = pages or Pages()
    add_pipeline_page(shown, config=config, metrics=metrics)
    memory_max_bytes = memory_share(config)

    def sampling(
        component: ComponentId, model: TailSamplingConfig, consumer: Consumer
    ) -> Part:
        return TailSamplingProcessor(
            model,
            consumer=consumer,
            metrics=metrics,
            name=component,
            settings=ProcessorSettings(memory_max_bytes=memory_max_bytes, gates=gates),
        )

    makers = Makers(
        processors={TailSamplingConfig: sampling},
        extensions={ZPagesConfig: zpages_of(shown)},
    )
    assembly = Assembly(config, metrics=metrics, makers=makers)
    add_sampler_pages(shown, lambda: samplers_of(assembly))
    return assembly


def samplers_of(assembly: Assembly) -> list[TailSamplingProcessor]:
    """The tail sampling processors of all pipelines."""
    parts = [part for chain in assembly.processors for part in chain]
    return [part for part in parts if isinstance(part, TailSamplingProcessor)]


def memory_share(
    config: CollectorConfig, total_bytes: Callable[[], int] = memory_total_bytes
) -> int:
    """The memory of each tail sampling processor whose block names none.

    Raises OSError or ValueError where the memory of the process cannot be read.
    """
    instances = sum(
        isinstance(config.processors[one], TailSamplingConfig)
        for pipeline in config.service.pipelines.values()
        for one in pipeline.processors
    )
    return total_bytes() // MEMORY_SHARE // max(instances, 1)


def follow(assembly: Assembly, health: Health) -> None:
    """Be ready while every tail sampling processor makes its decisions."""
    samplers = samplers_of(assembly)
    assembly.follow(health)
    health.require("decisions", lambda: all(one.judging for one in samplers))
