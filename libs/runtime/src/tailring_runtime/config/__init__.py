"""The collector's YAML as a frozen, strictly decoded tree.

Each package writes the models of its own components with the types of this one and
lists them in the registry of the service; nothing here knows any of them.
"""

from tailring_runtime.config.component import (
    ComponentId,
    ComponentType,
    Kind,
    Registry,
)
from tailring_runtime.config.durations import format_duration, parse_duration
from tailring_runtime.config.model import ConfigModel, nearest
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
    Text,
    TextList,
)
from tailring_runtime.errors import ConfigError, Problem

__all__ = [
    "NULL_IS_EMPTY",
    "Bool",
    "ComponentId",
    "ComponentType",
    "ConfigError",
    "ConfigModel",
    "Duration",
    "Expanded",
    "Float",
    "Headers",
    "Int",
    "Kind",
    "Port",
    "PortText",
    "Problem",
    "Registry",
    "Secret",
    "Text",
    "TextList",
    "format_duration",
    "nearest",
    "parse_duration",
]
