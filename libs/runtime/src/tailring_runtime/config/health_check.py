"""Configuration of ``health_check``; `tailring_runtime.health` serves it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from pydantic import Field

from tailring_runtime.address import split_host_port
from tailring_runtime.config.component import ComponentType
from tailring_runtime.config.model import ConfigModel
from tailring_runtime.config.rules import rule
from tailring_runtime.config.types import Text

__all__ = ["HEALTH_CHECK", "HTTP_SERVER_KEYS", "HealthCheckConfig"]

# Of a collector's HTTP server, what has no use on a plain page of our own.
HTTP_SERVER_KEYS = (
    "tls",
    "cors",
    "auth",
    "transport",
    "compression_algorithms",
    "max_request_body_size",
    "include_metadata",
    "response_headers",
    "read_timeout",
    "read_header_timeout",
    "write_timeout",
    "idle_timeout",
    "keep_alives_enabled",
    "middlewares",
)
PLAIN_HTTP = "health is served as plain HTTP without this key; remove it"


class ResponseBodyConfig(ConfigModel):
    """What is answered instead of the JSON status."""

    healthy: Text = Field(default="", description="Body while ready; empty: JSON.")
    unhealthy: Text = Field(
        default="", description="Body while not ready; empty: JSON."
    )


class HealthCheckConfig(ConfigModel):
    """Where health is served."""

    refused: ClassVar[Mapping[str, str]] = {
        "check_collector_pipeline": "it never worked upstream and is deprecated there;"
        " readiness here already follows the parts of the pipeline; remove it",
        **dict.fromkeys(HTTP_SERVER_KEYS, PLAIN_HTTP),
        **dict.fromkeys(
            ("use_v2", "http", "grpc", "component_health"),
            "this is the health_check of version 1; use endpoint and path",
        ),
    }

    harmless: ClassVar[Mapping[str, tuple[object, ...]]] = {
        "check_collector_pipeline": (None, {"enabled": False}),
        "auth": (None, {}),
        "middlewares": (None, []),
        "include_metadata": (None, False),
        "use_v2": (None, False),
        "http": (),
        "grpc": (),
    }

    endpoint: Text = Field(
        default="localhost:13133",
        description="host:port to listen on; port 0 lets the system choose.",
    )
    path: Text = Field(
        default="/", description="Answered beside /health, /livez, /readyz, /status."
    )
    response_body: ResponseBodyConfig = Field(
        default_factory=ResponseBodyConfig,
        description="Fixed bodies in place of the JSON status.",
    )

    @rule
    def _address(self) -> Iterable[str]:
        split_host_port(self.endpoint)
        return ()

    @rule
    def _absolute(self) -> Iterator[str]:
        if not self.path.startswith("/"):
            yield f"path must start with /, got {self.path!r}"


HEALTH_CHECK = ComponentType("extension", "health_check", HealthCheckConfig)
