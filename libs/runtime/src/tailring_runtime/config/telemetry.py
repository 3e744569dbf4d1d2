"""``service.telemetry``: what a process tells about itself.

Both forms of the metrics block are taken: the old ``address`` and the new ``readers``.
What is pushed (OTLP readers, log processors, own traces) is refused with its reason.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from tailring_runtime.address import join_host_port, split_host_port
from tailring_runtime.config.model import ConfigModel
from tailring_runtime.config.types import (
    Bool,
    Duration,
    Int,
    Port,
    Text,
    TextList,
    kind_of,
)
from tailring_runtime.logs import LEVELS, LogSampling, LogSettings

__all__ = [
    "LogsConfig",
    "MetricsConfig",
    "PrometheusReaderConfig",
    "TelemetryConfig",
]

PULL_ONLY = (
    "this version has no {what}; metrics are pulled by Prometheus"
    " (readers: [{{pull: {{exporter: {{prometheus: {{host: .., port: ..}}}}}}}}])"
)


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _log_level(value: object) -> object:
    return _lower(value) or "info"


Level = Annotated[
    Literal["none", "basic", "normal", "detailed"], BeforeValidator(_lower)
]


class ResourceLabelsConfig(ConfigModel):
    """Which resource attributes become constant labels of every series."""

    included: TextList = Field(
        default=(), description="Patterns (* and ?) of attributes; empty means none."
    )
    excluded: TextList = Field(
        default=(), description="Patterns of attributes that are left out after all."
    )

    def picks(self, name: str) -> bool:
        """Whether the attribute ``name`` becomes a label."""
        return _any_match(name, self.included) and not _any_match(name, self.excluded)


def _any_match(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


class PrometheusReaderConfig(ConfigModel):
    """One address that Prometheus scrapes, and how names are written there."""

    refused: ClassVar[Mapping[str, str]] = {
        "translation_strategy": "use without_type_suffix and without_units instead",
    }

    host: Text = Field(description='Address to listen on; "0.0.0.0" is all of IPv4.')
    port: Port = Field(description="Port to listen on; 0 lets the system choose.")
    without_type_suffix: Bool = Field(
        default=False,
        description="Leave out the _total of counters. Upstream's default is true.",
    )
    without_units: Bool = Field(
        default=True, description="Leave out units such as _milliseconds."
    )
    without_scope_info: Bool = Field(
        default=True, description="Leave out otel_scope_name and otel_scope_version."
    )
    without_target_info: Bool = Field(
        default=False, description="Leave out target_info, the resource's own series."
    )
    with_resource_constant_labels: ResourceLabelsConfig = Field(
        default_factory=ResourceLabelsConfig,
        description="Resource attributes that become labels of every series.",
    )

    @property
    def address(self) -> str:
        """``host:port``."""
        return join_host_port(self.host, self.port)


class PullExporterConfig(ConfigModel):
    """The exporter of a pull reader; only Prometheus exists."""

    prometheus: PrometheusReaderConfig = Field(description="The Prometheus endpoint.")


class PullReaderConfig(ConfigModel):
    """A reader that is asked."""

    refused: ClassVar[Mapping[str, str]] = {
        "producers": PULL_ONLY.format(what="producers"),
        "cardinality_limits": "label values come from the configuration and the"
        " resolver here, so there is nothing to limit",
    }

    exporter: PullExporterConfig = Field(description="Who asks.")


class ReaderConfig(ConfigModel):
    """One reader of the process's own metrics."""

    refused: ClassVar[Mapping[str, str]] = {
        "periodic": PULL_ONLY.format(what="periodic reader (OTLP or console)")
    }

    pull: PullReaderConfig | None = Field(
        default=None, description="A reader that is asked; required."
    )

    @model_validator(mode="after")
    def _check(self) -> ReaderConfig:
        if self.pull is None:
            raise ValueError("a reader needs pull")
        return self


class MetricsConfig(ConfigModel):
    """The process's own metrics."""

    refused: ClassVar[Mapping[str, str]] = {
        "views": "this version has no views; drop series when Prometheus scrapes"
    }

    level: Level = Field(
        default="normal",
        description="none serves no metrics; the other levels serve the same ones.",
    )
    address: Text = Field(
        default="",
        description="host:port to serve Prometheus metrics on (the old form). Empty:"
        " the readers, or TAILRING_METRICS_ENDPOINT when there are none.",
    )
    readers: tuple[ReaderConfig, ...] = Field(
        default=(),
        description="Prometheus endpoints. Written and empty means none at all.",
    )

    @model_validator(mode="after")
    def _check(self) -> MetricsConfig:
        if self.address:
            split_host_port(self.address)
        return self

    def endpoints(self) -> tuple[PrometheusReaderConfig, ...] | None:
        """Where to serve; None when the file leaves that to the settings."""
        if self.level == "none":
            return ()
        found = [r.pull.exporter.prometheus for r in self.readers if r.pull]
        if self.address:
            host, port = split_host_port(self.address)
            found.append(PrometheusReaderConfig(host=host, port=port))
        if not found and "readers" not in self.model_fields_set:
            return None
        return tuple(found)


class SamplingConfig(ConfigModel):
    """Thins out equal log messages."""

    enabled: Bool = Field(default=True, description="false logs every line.")
    initial: Int = Field(
        default=10, ge=0, description="Equal messages that pass in each tick."
    )
    thereafter: Int = Field(
        default=100, ge=0, description="Then each Nth passes; 0 lets none pass."
    )
    tick: Duration = Field(
        default=10_000_000_000, ge=0, description="Length of a tick; 0 never thins out."
    )


class LogsConfig(ConfigModel):
    """The process's own logs."""

    refused: ClassVar[Mapping[str, str]] = {
        "processors": "this version does not push logs; collect them from stderr",
    }

    level: Annotated[
        Literal[
            "debug", "info", "warn", "warning", "error", "dpanic", "panic", "fatal"
        ],
        BeforeValidator(_log_level),
    ] = Field(default="info", description="The lowest level that is logged.")
    encoding: Literal["console", "json"] = Field(
        default="console", description="One line of text, or one JSON object a line."
    )
    development: Bool = Field(default=False, description="Only false is supported.")
    disable_caller: Bool = Field(
        default=True, description="false adds the file and line of the logging call."
    )
    disable_stacktrace: Bool = Field(
        default=False, description="true logs an exception as one field."
    )
    initial_fields: dict[str, object] = Field(
        default_factory=dict, description="Fields that are added to every line."
    )
    output_paths: TextList = Field(
        default=("stderr",), description="stderr, stdout or files to append to."
    )
    error_output_paths: TextList = Field(
        default=("stderr",), description="Only stderr is supported."
    )
    sampling: SamplingConfig = Field(
        default_factory=SamplingConfig, description="Thins out equal messages."
    )

    @model_validator(mode="after")
    def _check(self) -> LogsConfig:
        if self.development:
            raise ValueError("development: true is not supported; set level: debug")
        if self.error_output_paths != ("stderr",):
            raise ValueError(
                "error_output_paths: failures of logging itself go to stderr only"
            )
        return self

    def settings(self, *, worker: int | None = None) -> LogSettings:
        """The same for `tailring_runtime.logs.configure`, of that worker."""
        of_worker = {} if worker is None else {"worker": worker}
        sampling = self.sampling
        thin = sampling.enabled and sampling.tick > 0
        assert self.level in LEVELS
        return LogSettings(
            level=self.level,
            encoding=self.encoding,
            fields={**self.initial_fields, **of_worker},
            outputs=self.output_paths,
            caller=not self.disable_caller,
            tracebacks=not self.disable_stacktrace,
            sampling=LogSampling(
                sampling.initial, sampling.thereafter, tick_ns=sampling.tick
            )
            if thin
            else None,
        )


class TracesConfig(ConfigModel):
    """The process's own traces, of which there are none."""

    refused: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("processors", "propagators", "sampler"),
        "this version makes no traces of its own; remove the key",
    )

    level: Level = Field(default="none", description="Only none is supported.")

    @model_validator(mode="after")
    def _check(self) -> TracesConfig:
        if self.level != "none":
            raise ValueError(
                f"level: {self.level} is not supported: this version makes no traces"
                " of its own; write level: none"
            )
        return self


def _resource(value: object) -> object:
    """Both forms: a map of attributes, and ``attributes: [{name, value}]``."""
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a map of attributes, got {kind_of(value)}")
    given: dict[str, object] = {str(k): v for k, v in value.items()}
    listed = given.pop("attributes", None)
    for item in listed if isinstance(listed, list | tuple) else ():
        if not isinstance(item, Mapping) or not {"name", "value"} <= item.keys():
            raise ValueError("attributes is a list of {name, value}")
        given[str(item["name"])] = item["value"]
    return {name: _attribute(name, v) for name, v in given.items()}


def _attribute(name: str, value: object) -> str | None:
    if isinstance(value, Mapping | list | tuple):
        raise ValueError(f"the attribute {name} must be a single value")
    if value is None or isinstance(value, str):
        return None if value is None else str(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


class TelemetryConfig(ConfigModel):
    """``service.telemetry``."""

    logs: LogsConfig = Field(default_factory=LogsConfig, description="Own logs.")
    metrics: MetricsConfig = Field(
        default_factory=MetricsConfig, description="Own metrics."
    )
    traces: TracesConfig = Field(
        default_factory=TracesConfig, description="Own traces: none."
    )
    resource: Annotated[dict[str, str | None], BeforeValidator(_resource)] = Field(
        default_factory=dict,
        description="Attributes of this process, shown in target_info; null removes"
        " one that is set by default (service.name, service.version,"
        " service.instance.id).",
    )
