"""The decoded configuration of one service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tailring_runtime.config.component import ComponentId, Kind
from tailring_runtime.config.model import ConfigModel
from tailring_runtime.config.telemetry import TelemetryConfig

__all__ = ["CollectorConfig", "Components", "Loaded", "Pipeline", "ServiceConfig"]

Components = Mapping[ComponentId, ConfigModel]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What one pipeline connects, in the order of the file."""

    receivers: tuple[ComponentId, ...]
    exporters: tuple[ComponentId, ...]
    processors: tuple[ComponentId, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """``service``: pipelines by id (``traces/name``), extensions in use, telemetry."""

    pipelines: Mapping[ComponentId, Pipeline]
    extensions: tuple[ComponentId, ...] = ()
    telemetry: TelemetryConfig = field(default_factory=TelemetryConfig)


@dataclass(frozen=True, slots=True)
class CollectorConfig:
    """One configuration: the components by id, and how `service` connects them."""

    service: ServiceConfig
    receivers: Components = field(default_factory=dict)
    processors: Components = field(default_factory=dict)
    exporters: Components = field(default_factory=dict)
    extensions: Components = field(default_factory=dict)

    def sections(self) -> Iterator[tuple[Kind, str, Components]]:
        """(kind, key of the section, its components), in the order of the file."""
        yield "receiver", "receivers", self.receivers
        yield "processor", "processors", self.processors
        yield "exporter", "exporters", self.exporters
        yield "extension", "extensions", self.extensions


@dataclass(frozen=True, slots=True)
class Loaded:
    """A usable configuration, and what its operator should know nevertheless."""

    config: CollectorConfig
    warnings: tuple[str, ...] = ()
