"""The extensions of a process: made first, handed to the parts that name them.

An extension is a `Stage` that no data passes. It starts before every part that may ask
it and is terminated after them; `close` and `join` change nothing, because the parts
still drain then. ``health_check`` is none of these: the process serves it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tailring_otlpio.auth_config import BasicAuthConfig, BearerTokenAuthConfig
from tailring_otlpio.basic_auth import basic_auth
from tailring_otlpio.bearer_token import BearerTokenAuth
from tailring_otlpio.file_config import FileExporterConfig
from tailring_otlpio.file_exporter import Files
from tailring_pipeline import (
    DiskStore,
    ExporterMetrics,
    FileStorage,
    FileStorageConfig,
    QueueConfig,
    Signal,
    Stage,
    Worker,
    file_storage_of,
)
from tailring_runtime.config import CollectorConfig, ComponentId, ConfigModel
from tailring_runtime.metrics import Metrics

__all__ = ["Extension", "Extensions", "MakeExtension", "Stored"]

# A part that starts first and ends last.
Extension = Stage
MakeExtension = Callable[[ComponentId, Any, Metrics], Extension]

T = TypeVar("T")

# From the model of an extension to its part.
_MAKERS: Mapping[type[ConfigModel], MakeExtension] = {
    BearerTokenAuthConfig: lambda one, model, metrics: BearerTokenAuth(
        model, metrics=metrics, name=str(one)
    ),
    BasicAuthConfig: lambda one, model, metrics: basic_auth(
        model, metrics=metrics, name=str(one)
    ),
    FileStorageConfig: file_storage_of(Worker()),
}


@dataclass(frozen=True, slots=True)
class Stored:
    """The queue of an exporter on disk."""

    store: DiskStore
    folder: Path

    @property
    def items(self) -> int:
        """What it holds and what is not delivered."""
        return self.store.held[1]

    def shares_with(self, other: Stored) -> bool:
        """Whether both want the same folder, whatever they call it."""
        return self.folder.resolve() == other.folder.resolve()


class Extensions:
    """Everything that ``service.extensions`` lists and that has a part."""

    def __init__(
        self,
        config: CollectorConfig,
        *,
        metrics: Metrics,
        makers: Mapping[type[ConfigModel], MakeExtension] | None = None,
        kept: Mapping[ComponentId, Extension] | None = None,
    ) -> None:
        """``makers`` are those of a service's own, beside what both services share.
        ``kept`` are parts of an earlier configuration that go on."""
        known = {**_MAKERS, **(makers or {})}
        self.parts: dict[ComponentId, Extension] = {}
        self.stored: dict[tuple[ComponentId, Signal], Stored] = {}
        # What the exporters of several signals share, by their component.
        self.files: dict[ComponentId, Files] = {}
        for component in config.service.extensions:
            model = config.extensions[component]
            if kept and component in kept:
                self.parts[component] = kept[component]
            elif type(model) in known:
                made = known[type(model)](component, model, metrics)
                self.parts[component] = made

    def find(self, component: ComponentId, wanted: type[T]) -> T:
        """The extension that a key names; validation has seen that it is there."""
        part = self.parts[component]
        assert isinstance(part, wanted), f"{component} is no {wanted.__name__}"
        return part

    def files_of(
        self, component: ComponentId, config: FileExporterConfig, *, marks: bool
    ) -> Files:
        """The files of an exporter, the same for each of its signals."""
        return self.files.setdefault(component, Files(config, marks=marks))

    def store(
        self,
        component: ComponentId,
        queue: QueueConfig,
        *,
        metrics: ExporterMetrics,
        park_s: float | None = None,
    ) -> DiskStore | None:
        """What keeps the queue of an exporter on disk; None when that is in memory.
        ``park_s`` as in `tailring_pipeline.Store`."""
        if queue.storage is None or not queue.enabled:
            return None
        storage = self.find(queue.storage, FileStorage)
        store = storage.store(component, queue, metrics=metrics, park_s=park_s)
        folder = storage.client(component, metrics.signal)
        self.stored[component, metrics.signal] = Stored(store, folder)
        return store
