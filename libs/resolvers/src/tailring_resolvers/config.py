"""The ``resolver`` block of the load-balancing exporter.

Durations are nanoseconds. Error texts are upstream's, so that what operators search
for is found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field

from tailring_resolvers.cloud_map_config import CloudMapResolverConfig
from tailring_resolvers.hold_config import HOLD_DOWN_TEXT, HoldDuration
from tailring_resolvers.k8s_config import K8sResolverConfig
from tailring_resolvers.srv import is_service_name
from tailring_runtime.address import split_host_port
from tailring_runtime.config import (
    ConfigModel,
    Duration,
    PortText,
    Text,
    TextList,
    rule,
)

__all__ = [
    "INTERVAL_DEFAULT_NS",
    "TIMEOUT_DEFAULT_NS",
    "DnsResolverConfig",
    "ResolverConfig",
    "StaticResolverConfig",
]

DNS_PORT: Final = 53
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


def _a_server(server: str) -> str:
    if server:
        host_and_port(server)
    return server


def host_and_port(server: str) -> tuple[str, int]:
    """A DNS server as host and port, which is 53 unless it says otherwise.

    Raises ValueError in words for an operator.
    """
    bracketed = server.startswith("[") and server.endswith("]")
    try:
        return str(ip_address(server[1:-1] if bracketed else server)), DNS_PORT
    except ValueError:
        host, port = split_host_port(server if ":" in server else f"{server}:53")
    if not host or not port:
        raise ValueError(f"{server!r} is no DNS server; write host or host:port")
    return host, port


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
    """Backends are the addresses of a host name, asked again and again.

    A name of SRV records has ports of its own, so ``port`` is refused with it.
    """

    hostname: Annotated[Text, AfterValidator(_a_hostname)] = Field(
        default="",
        validate_default=True,
        description="Name whose A and AAAA records are the backends, such as a "
        "headless Service. Search list and ndots of the system apply; a final dot "
        "saves the search. A name such as `_otlp._tcp.sampler.example` is one of SRV "
        "records: the backends are the addresses of their targets with their ports.",
    )
    port: PortText = Field(
        default="",
        description="Appended to every address, on the ring too. Empty: the ring "
        "holds bare addresses and 4317 is dialled.",
    )
    server: Annotated[Text, AfterValidator(_a_server)] = Field(
        default="",
        description="DNS server, `host` or `host:port`, that is asked instead of the "
        "system's. The hosts file and the search list are not used then.",
    )
    interval: Annotated[Duration, AfterValidator(_not_negative)] = Field(
        default=0,
        description="Time between two lookups. 0: 5s. Long: a backend that left is "
        "dialled for that long. Short: more load on the DNS servers.",
    )
    timeout: Annotated[Duration, AfterValidator(_not_negative)] = Field(
        default=0,
        description="Time for one lookup, all servers, targets and both families "
        "together, the first one included. 0: 1s.",
    )
    hold_down: HoldDuration = Field(default=0, description=HOLD_DOWN_TEXT)

    @rule
    def _one_port(self) -> Iterator[str]:
        if self.port and self.of_services:
            yield (
                "port is not used with a name of SRV records, which say the port of"
                " each backend; leave it out"
            )

    @property
    def of_services(self) -> bool:
        """Whether the name is one of SRV records."""
        return is_service_name(self.hostname)

    @property
    def server_address(self) -> tuple[str, int] | None:
        """The server that is asked; None for the system's."""
        return host_and_port(self.server) if self.server else None

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

    @classmethod
    def clashes(cls, written: Mapping[str, Any]) -> Iterable[str]:
        """None of them, or several."""
        if not written:
            yield "no resolvers specified for the exporter"
        if len(written) > 1:
            yield "only one resolver should be specified"
