"""The ``resolver`` block of the load-balancing exporter.

Durations are nanoseconds. Error texts are upstream's, so that what operators search
for is found.
"""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator

from tailring_resolvers.cloud_map_config import CloudMapResolverConfig
from tailring_resolvers.k8s_config import K8sResolverConfig
from tailring_runtime.config import (
    ConfigModel,
    Duration,
    PortText,
    Text,
    TextList,
)

__all__ = [
    "INTERVAL_DEFAULT_NS",
    "TIMEOUT_DEFAULT_NS",
    "DnsResolverConfig",
    "ResolverConfig",
    "StaticResolverConfig",
]

INTERVAL_DEFAULT_NS: Final = 5_000_000_000
TIMEOUT_DEFAULT_NS: Final = 1_000_000_000


def _some_hostnames(hostnames: tuple[str, ...]) -> tuple[str, ...]:
    if not hostnames:
        raise ValueError("no endpoints specified for the static resolver")
    return hostnames


def _a_hostname(hostname: str) -> str:
    if not hostname:
        raise ValueError("no hostname specified to resolve the backends")
    return hostname


def _not_negative(duration_ns: int) -> int:
    if duration_ns < 0:
        raise ValueError("must not be negative")
    return duration_ns


class StaticResolverConfig(ConfigModel):
    """A fixed list of backends."""

    hostnames: Annotated[TextList, AfterValidator(_some_hostnames)] = Field(
        default=(),
        validate_default=True,
        description="Backends, used verbatim on the ring. One without a port is "
        "dialled on 4317. One listed twice gets twice the share.",
    )


class DnsResolverConfig(ConfigModel):
    """Backends are the addresses of a host name, asked again and again."""

    hostname: Annotated[Text, AfterValidator(_a_hostname)] = Field(
        default="",
        validate_default=True,
        description="Name whose A and AAAA records are the backends, such as a "
        "headless Service. Search list and ndots of the system apply; a final dot "
        "saves the search.",
    )
    port: PortText = Field(
        default="",
        description="Appended to every address, on the ring too. Empty: the ring "
        "holds bare addresses and 4317 is dialled.",
    )
    interval: Annotated[Duration, AfterValidator(_not_negative)] = Field(
        default=0,
        description="Time between two lookups. 0: 5s. Long: a backend that left is "
        "dialled for that long. Short: more load on the DNS servers.",
    )
    timeout: Annotated[Duration, AfterValidator(_not_negative)] = Field(
        default=0,
        description="Time for one lookup, all servers and both families together, "
        "the first one included. 0: 1s.",
    )

    @property
    def interval_s(self) -> float:
        """Seconds between two lookups."""
        return (self.interval or INTERVAL_DEFAULT_NS) / 1e9

    @property
    def timeout_s(self) -> float:
        """Seconds that one lookup may take."""
        return (self.timeout or TIMEOUT_DEFAULT_NS) / 1e9


class ResolverConfig(ConfigModel):
    """Exactly one way to learn who the backends are.

    ``static:`` without a value counts as absent; ``static: {}`` counts as present and
    misses its list.
    """

    static: StaticResolverConfig | None = None
    dns: DnsResolverConfig | None = None
    k8s: K8sResolverConfig | None = None
    aws_cloud_map: CloudMapResolverConfig | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        blocks = (self.static, self.dns, self.k8s, self.aws_cloud_map)
        given = [block for block in blocks if block is not None]
        if not given:
            raise ValueError("no resolvers specified for the exporter")
        if len(given) > 1:
            raise ValueError("only one resolver should be specified")
        return self
