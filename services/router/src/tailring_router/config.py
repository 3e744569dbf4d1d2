"""``exporters.loadbalancing`` as an operator writes it.

Keys, defaults and error texts are upstream's (contrib v0.161.0, loadbalancingexporter);
what differs is said at the key and in docs/compatibility.md. ``ring_generation`` is
ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final, Literal

from pydantic import Field, TypeAdapter, field_validator, model_validator

from tailring_otlpio import OtlpExporterConfig
from tailring_pipeline import TopLevelQueue, TopLevelQueueConfig, TopLevelRetryConfig
from tailring_resolvers import ResolverConfig
from tailring_runtime.config import ConfigModel, Duration, Int, Text

__all__ = ["BackendConfig", "LoadBalancingConfig", "ProtocolConfig"]

_GENERATION: Final[TypeAdapter[int]] = TypeAdapter(Int)
_OTHER_KEYS: Final = {
    "service": "routing by service is not in this version",
    "attributes": "routing by attributes is not in this version",
}


class BackendConfig(OtlpExporterConfig):
    """``protocol.otlp``: the template of the connection to each backend."""

    endpoint: Text = Field(
        default="placeholder:4317",
        description="Not used, but checked, as upstream: every backend has its own.",
    )


class ProtocolConfig(ConfigModel):
    """``protocol``: otlp is the only one."""

    otlp: BackendConfig = BackendConfig()


class LoadBalancingConfig(ConfigModel):
    """``exporters.loadbalancing`` / ``exporters.load_balancing``."""

    refused: ClassVar[Mapping[str, str]] = {
        "routing_attributes": "routing by attributes is not in this version",
    }
    harmless: ClassVar[Mapping[str, tuple[object, ...]]] = {
        "routing_attributes": (None, []),
    }
    spellings: ClassVar[Mapping[str, str]] = {"queue": "sending_queue"}

    routing_key: Text = Field(
        default="",
        description="What a span's owner is chosen by; traceID is the only key of"
        " this version, and the default for traces.",
    )
    resolver: ResolverConfig = Field(
        description="Who the backends are: exactly one of static and dns."
    )
    protocol: ProtocolConfig = ProtocolConfig()
    timeout: Duration = Field(
        default=0,
        ge=0,
        description="No retry of a part at its backend begins later than this after"
        " it was given to it. 0: only protocol.otlp's own limits.",
    )
    retry_on_failure: TopLevelRetryConfig = Field(
        default=TopLevelRetryConfig(),
        description="Level 1: route again what a backend did not take, on the ring"
        " of that moment. Only parts that failed are sent again.",
    )
    sending_queue: TopLevelQueue = Field(
        default=None,
        description="Level 1: a queue of requests that are not routed yet. Off unless"
        " the key is there.",
    )
    ring_generation: Literal[1, 2, 3] = Field(
        default=3,
        description="Which of upstream's rings: 1 before mid-2025, 2 to v0.156,"
        " 3 since v0.157. All routers of a fleet need the same.",
    )

    @model_validator(mode="before")
    @classmethod
    def _some_resolver(cls, data: Any) -> Any:
        # Upstream's words for a missing block are those for an empty one.
        if isinstance(data, Mapping) and data.get("resolver") is None:
            return {**data, "resolver": {}}
        return data

    @field_validator("routing_key")
    @classmethod
    def _known_key(cls, value: str) -> str:
        if value in ("", "traceID"):
            return value
        if value in _OTHER_KEYS:
            raise ValueError(f"{_OTHER_KEYS[value]}; use traceID")
        raise ValueError(f"unsupported routing_key: {value}")

    @field_validator("ring_generation", mode="before")
    @classmethod
    def _whole(cls, value: object) -> object:
        return _GENERATION.validate_python(value)

    @property
    def level1_queue(self) -> TopLevelQueueConfig | None:
        """The queue in front of routing; None when it is off."""
        queue = self.sending_queue
        return queue if queue is not None and queue.enabled else None

    def advice(self) -> Iterable[str]:
        """What is valid and still likely a mistake."""
        dns = self.resolver.dns
        if self.level1_queue is not None and not self.retry_on_failure.enabled:
            yield (
                "sending_queue is on and retry_on_failure is off: a request that every"
                " backend's own retries gave up is dropped"
            )
        if dns is not None and not dns.port and self.ring_generation == 3:
            yield (
                "resolver.dns has no port: the ring is that of bare addresses; routers"
                " that write one route differently"
            )
