"""The collector's YAML as a frozen, strictly decoded tree.

Each package writes the models of its own components with the types of this one and
lists them in the registry of the service; nothing here knows any of them.
"""

from tailring_runtime.config.collector import (
    CollectorConfig,
    Loaded,
    Pipeline,
    ServiceConfig,
)
from tailring_runtime.config.compare import same
from tailring_runtime.config.component import (
    ComponentId,
    ComponentType,
    Kind,
    Registry,
)
from tailring_runtime.config.describe import KeyRow, describe
from tailring_runtime.config.dump import dump
from tailring_runtime.config.durations import format_duration, parse_duration
from tailring_runtime.config.gates import FeatureGate, Switched, switch
from tailring_runtime.config.health_check import HEALTH_CHECK, HealthCheckConfig
from tailring_runtime.config.load import load, redacted
from tailring_runtime.config.model import ConfigModel, nearest
from tailring_runtime.config.references import (
    ClientAuthenticator,
    Role,
    ServerAuthenticator,
    StorageExtension,
    references,
)
from tailring_runtime.config.rules import Complaint, rule
from tailring_runtime.config.telemetry import (
    LogsConfig,
    MetricsConfig,
    PrometheusReaderConfig,
    TelemetryConfig,
)
from tailring_runtime.config.types import (
    NULL_IS_EMPTY,
    Bool,
    Duration,
    Expanded,
    Float,
    Headers,
    Int,
    Port,
    PortText,
    Secret,
    SecretList,
    Text,
    TextList,
)
from tailring_runtime.errors import ConfigError, Problem

__all__ = [
    "HEALTH_CHECK",
    "NULL_IS_EMPTY",
    "Bool",
    "ClientAuthenticator",
    "CollectorConfig",
    "Complaint",
    "ComponentId",
    "ComponentType",
    "ConfigError",
    "ConfigModel",
    "Duration",
    "Expanded",
    "FeatureGate",
    "Float",
    "Headers",
    "HealthCheckConfig",
    "Int",
    "KeyRow",
    "Kind",
    "Loaded",
    "LogsConfig",
    "MetricsConfig",
    "Pipeline",
    "Port",
    "PortText",
    "Problem",
    "PrometheusReaderConfig",
    "Registry",
    "Role",
    "Secret",
    "SecretList",
    "ServerAuthenticator",
    "ServiceConfig",
    "StorageExtension",
    "Switched",
    "TelemetryConfig",
    "Text",
    "TextList",
    "describe",
    "dump",
    "format_duration",
    "load",
    "nearest",
    "parse_duration",
    "redacted",
    "references",
    "rule",
    "same",
    "switch",
]
