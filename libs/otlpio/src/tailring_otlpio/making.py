"""How the parts of a service are made: what each is given, and who makes which.

A service registers its own makers by their models; the exporters that both services
have are made here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tailring_otlpio.client_config import OtlpExporterConfig
from tailring_otlpio.credentials import client_credentials
from tailring_otlpio.exporter import OtlpExporter
from tailring_otlpio.extensions import Extensions, MakeExtension
from tailring_otlpio.file_config import FileExporterConfig
from tailring_otlpio.file_exporter import FileExporter
from tailring_otlpio.http_client_config import OtlpHttpExporterConfig
from tailring_pipeline import (
    Consumer,
    DebugConfig,
    DebugExporter,
    ExporterMetrics,
    NopConfig,
    NopExporter,
    Signal,
    Stage,
)
from tailring_runtime.config import ComponentId, ConfigModel
from tailring_runtime.metrics import Metrics

__all__ = [
    "MakeExporter",
    "MakeProcessor",
    "Makers",
    "Making",
    "Part",
    "make_exporter",
]


class Part(Consumer, Stage, Protocol):
    """What stands behind a receiver: it takes batches and has a life."""


# From a component's id and its model (of the type it is registered for) to its part;
# an exporter counts in the metrics that it is given, which are its own.
MakeExporter = Callable[[Any, "Making"], Part]
MakeProcessor = Callable[[ComponentId, Any, Consumer], Part]


@dataclass(frozen=True, slots=True)
class Making:
    """What an exporter is made with beside its model."""

    component: ComponentId
    signal: Signal
    metrics: Metrics
    extensions: Extensions
    marks: bool = False
    """Whether requests may bear the marks of `tenants`."""


@dataclass(frozen=True, slots=True)
class Makers:
    """How the parts are made that only one service has, by their models."""

    exporters: Mapping[type[ConfigModel], MakeExporter] = field(default_factory=dict)
    processors: Mapping[type[ConfigModel], MakeProcessor] = field(default_factory=dict)
    extensions: Mapping[type[ConfigModel], MakeExtension] = field(default_factory=dict)
    workers: int = 1
    """Processes like this one on the host, which share its memory."""


def make_exporter(model: ConfigModel, making: Making) -> Part:
    """An exporter that both services have."""
    name = str(making.component)
    metrics = ExporterMetrics(making.metrics, name, signal=making.signal)
    match model:
        case OtlpExporterConfig() | OtlpHttpExporterConfig():
            credentials = client_credentials(
                model,
                where=f"exporters::{name}",
                metrics=making.metrics,
                extensions=making.extensions,
            )
            store = making.extensions.store(
                making.component, model.sending_queue, metrics=metrics
            )
            return OtlpExporter(
                model,
                metrics=metrics,
                credentials=credentials,
                store=store,
                marks=making.marks,
            )
        case FileExporterConfig():
            files = making.extensions.files_of(
                making.component, model, marks=making.marks
            )
            return FileExporter(files, metrics=metrics)
        case DebugConfig():
            return DebugExporter(model, metrics=metrics)
        case NopConfig():
            return NopExporter(metrics=metrics)
    raise AssertionError(f"no exporter is made from {type(model).__name__}")
