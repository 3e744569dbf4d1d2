"""What a supervisor knows of a configuration: as much as it needs, and no component.

A supervisor imports no component (gRPC alone is most of a worker's memory), so it
cannot read the file. A child of it does, and answers with a `Plan`: where metrics and
health are served, which addresses the workers will share, and the whole configuration
as bytes that only workers open. So all workers run the same configuration, one that is
started again later included, whatever has become of the file meanwhile.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tailring_runtime.command import ServiceCommand
from tailring_runtime.config import (
    HEALTH_CHECK,
    CollectorConfig,
    ConfigError,
    Loaded,
    Problem,
    load,
)
from tailring_runtime.settings import Settings

__all__ = ["MakePlan", "Origin", "Plan", "Refusal", "Work", "make_plan", "read"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a configuration is read from: what the command line says."""

    uris: tuple[str, ...]
    sets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A usable configuration, for a supervisor."""

    shell: CollectorConfig
    """Telemetry and health checks alone."""
    warnings: tuple[str, ...]
    endpoints: tuple[str, ...]
    """``host:port`` that every worker listens on."""
    payload: bytes
    """A pickled `Loaded`."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A configuration that cannot be used, and every reason."""

    problems: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, error: ConfigError) -> Refusal:
        """The same as plain text."""
        return cls(tuple(map(str, error.problems)), error.warnings)


@dataclass(frozen=True, slots=True)
class MakePlan:
    """The task to read a configuration and answer with a `Plan` or a `Refusal`."""

    origin: Origin


@dataclass(frozen=True, slots=True)
class Work:
    """The task to be a worker."""

    settings: Settings
    payload: bytes


def read(
    command: ServiceCommand, origin: Origin, *, environ: Mapping[str, str]
) -> Loaded:
    """Load a configuration. Raises `ConfigError` with every problem; one is that the
    disk gives nothing."""
    try:
        return load(
            origin.uris, sets=origin.sets, environ=environ, registry=command.registry()
        )
    except OSError as error:
        raise ConfigError((Problem(f"it cannot be read: {error}"),)) from error


def make_plan(
    command: ServiceCommand, origin: Origin, *, environ: Mapping[str, str]
) -> Plan | Refusal:
    """Load a configuration and say what a supervisor has to know of it."""
    try:
        loaded = read(command, origin, environ=environ)
        assert command.endpoints is not None
        endpoints = command.endpoints(loaded)
        _check(endpoints)
    except ConfigError as error:
        return Refusal.of(error)
    return Plan(
        shell=_shell(loaded.config),
        warnings=loaded.warnings,
        endpoints=tuple(endpoints.values()),
        payload=pickle.dumps(loaded),
    )


def _check(endpoints: Mapping[str, str]) -> None:
    problems = tuple(
        Problem(f"workers cannot share {endpoint!r}; write host:port", path=path)
        for path, endpoint in endpoints.items()
        if not endpoint.rpartition(":")[2].strip("0").isdigit()
    )
    if problems:
        raise ConfigError(problems)


def _shell(config: CollectorConfig) -> CollectorConfig:
    checks = {
        one: model
        for one, model in config.extensions.items()
        if isinstance(model, HEALTH_CHECK.model)
    }
    used = tuple(one for one in config.service.extensions if one in checks)
    service = replace(config.service, pipelines={}, extensions=used)
    return CollectorConfig(service=service, extensions=checks)
