"""``receivers.otlp`` as an operator writes it.

Every key of upstream's receiver is here or refused with the reason; none is accepted
and ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import (
    BeforeValidator,
    Field,
    TypeAdapter,
    field_validator,
)

from tailring_otlpio.tls_config import GrpcTlsServerConfig, TlsServerConfig
from tailring_pipeline import Signal
from tailring_runtime.address import split_host_port
from tailring_runtime.config import (
    NULL_IS_EMPTY,
    Bool,
    ConfigModel,
    Duration,
    Headers,
    Int,
    ServerAuthenticator,
    Text,
    TextList,
    rule,
)

__all__ = [
    "CorsConfig",
    "GrpcServerConfig",
    "HttpAuthConfig",
    "HttpKeepaliveConfig",
    "HttpServerConfig",
    "KeepaliveEnforcementConfig",
    "KeepaliveServerConfig",
    "KeepaliveServerParametersConfig",
    "OtlpReceiverConfig",
    "ProtocolsConfig",
    "ServerAuthConfig",
]

SECOND_NS: Final = 1_000_000_000
MIB: Final = 1 << 20

_NO_MIDDLEWARES: Final = "this version has no middleware extensions"
_NO_PROFILES: Final = "profiles are not received; leave the key out"

# Keys of what this version has not, with the values that switch nothing on.
_OFF: Final[Mapping[str, tuple[object, ...]]] = {
    "middlewares": (None, []),
}

# Request encodings of HTTP that this receiver decompresses, "" being none.
HTTP_ENCODINGS: Final = ("", "gzip", "zlib", "deflate")
_ENCODINGS: Final[TypeAdapter[tuple[str, ...]]] = TypeAdapter(TextList)


class ServerAuthConfig(ConfigModel):
    """``auth`` of a protocol."""

    authenticator: ServerAuthenticator = Field(
        description="The extension that checks every request before it is read."
    )


class HttpAuthConfig(ServerAuthConfig):
    """``auth`` of HTTP."""

    request_params: TextList = Field(
        default=(),
        description="Parameters of the query that are taken for headers, where a client"
        " cannot set those.",
    )


class _ServerConfig(ConfigModel):
    """Where a server listens."""

    endpoint: Text
    max_connections: Int = Field(
        default=16_384,
        ge=1,
        description="Connections at once (ours); more are closed at once, so that"
        " descriptors and memory are left for those that are open.",
    )
    transport: Literal["tcp", "unix"] = Field(
        default="tcp",
        description="tcp, or unix: then `endpoint` is the path of a socket.",
    )
    include_metadata: Bool = Field(
        default=False,
        description="Keep the headers that `metadata_keys` of an exporter names.",
    )

    @rule
    def _address(self) -> Iterator[str]:
        if self.transport == "tcp":
            split_host_port(self.endpoint)
        elif not self.endpoint:
            yield "endpoint: a unix socket needs a path"


class KeepaliveServerParametersConfig(ConfigModel):
    """When this server pings its clients, and when it lets connections go."""

    max_connection_idle: Duration = Field(
        default=0, ge=0, description="Close a connection idle for so long; 0: never."
    )
    max_connection_age: Duration = Field(
        default=0,
        ge=0,
        description="Ask clients to reconnect after so long, so that load spreads over"
        " new replicas; 0: never.",
    )
    max_connection_age_grace: Duration = Field(
        default=0, ge=0, description="How long its calls may then take; 0: no limit."
    )
    time: Duration = Field(
        default=0, ge=0, description="Ping after so long without data; 0: 2 hours."
    )
    timeout: Duration = Field(
        default=0, ge=0, description="Wait so long for the answer; 0: 20 seconds."
    )


class KeepaliveEnforcementConfig(ConfigModel):
    """Which pings of clients are tolerated; who pings more often is disconnected."""

    min_time: Duration = Field(
        default=5 * SECOND_NS,
        ge=0,
        description="The shortest interval; the default tolerates the 10s that the"
        " collector's exporters use (upstream's default of 5m does not).",
    )
    permit_without_stream: Bool = Field(
        default=True, description="Whether pings without a call are tolerated."
    )


class KeepaliveServerConfig(ConfigModel):
    """``keepalive`` of the gRPC server."""

    server_parameters: KeepaliveServerParametersConfig = (
        KeepaliveServerParametersConfig()
    )
    enforcement_policy: KeepaliveEnforcementConfig = KeepaliveEnforcementConfig()


class GrpcServerConfig(_ServerConfig):
    """``protocols.grpc``."""

    refused: ClassVar[Mapping[str, str]] = {
        "middlewares": _NO_MIDDLEWARES,
        "write_buffer_size": "grpcio sizes its write buffers itself",
        "read_buffer_size": "grpcio sizes its read buffers itself",
    }
    harmless: ClassVar[Mapping[str, tuple[object, ...]]] = _OFF

    endpoint: Text = "localhost:4317"
    tls: GrpcTlsServerConfig | None = None
    auth: ServerAuthConfig | None = None
    max_recv_msg_size_mib: Int = Field(
        default=64,
        ge=0,
        le=1024,
        description="Largest request in MiB, decompressed; 0: the default. Larger ones"
        " are answered RESOURCE_EXHAUSTED and are lost.",
    )
    max_concurrent_streams: Int = Field(
        default=0,
        ge=0,
        le=2**31 - 1,
        description="Calls at once on one connection; 0: no limit.",
    )
    read_timeout: Duration = Field(
        default=60 * SECOND_NS,
        ge=0,
        description="How long the message of a call may take to arrive (ours); 0: no"
        " limit.",
    )
    keepalive: KeepaliveServerConfig = KeepaliveServerConfig()

    @property
    def request_bytes_max(self) -> int:
        """The largest request, decompressed."""
        return (self.max_recv_msg_size_mib or 64) * MIB


class CorsConfig(ConfigModel):
    """``cors``: which browser pages may send."""

    allowed_origins: TextList = ()
    allowed_headers: TextList = ()
    exposed_headers: TextList = ()
    max_age: Int = Field(
        default=0, ge=0, description="Seconds that a browser remembers the answer."
    )


class HttpKeepaliveConfig(ConfigModel):
    """``keepalive`` of HTTP, in place of `idle_timeout` and `keep_alives_enabled`."""

    enabled: Bool = Field(
        default=True, description="Off: a connection carries one request."
    )
    idle_timeout: Duration = Field(
        default=60 * SECOND_NS,
        ge=0,
        description="How long a connection is kept open between requests.",
    )


class HttpServerConfig(_ServerConfig):
    """``protocols.http``."""

    refused: ClassVar[Mapping[str, str]] = {
        "middlewares": _NO_MIDDLEWARES,
        "profiles_url_path": _NO_PROFILES,
        "write_timeout": "answers are a few bytes, and aiohttp has no limit for writing"
        " them",
    }
    harmless: ClassVar[Mapping[str, tuple[object, ...]]] = _OFF

    endpoint: Text = "localhost:4318"
    tls: TlsServerConfig | None = None
    auth: HttpAuthConfig | None = None
    traces_url_path: Text = "/v1/traces"
    metrics_url_path: Text = "/v1/metrics"
    logs_url_path: Text = "/v1/logs"
    max_request_body_size: Int = Field(
        default=64 * MIB,
        ge=0,
        description="Largest body in bytes, decompressed; 0: the default (64 MiB, as"
        " OTLP recommends; upstream has 20 MiB). Larger ones are answered 413.",
    )
    read_header_timeout: Duration = Field(
        default=60 * SECOND_NS,
        ge=0,
        description="How long the headers of the first request of a connection may take"
        " to arrive, TLS included; those of later ones have `idle_timeout`. 0: as long"
        " as that too.",
    )
    read_timeout: Duration = Field(
        default=60 * SECOND_NS,
        ge=0,
        description="How long a body may take to arrive; 0: no limit.",
    )
    idle_timeout: Duration = Field(
        default=60 * SECOND_NS,
        ge=0,
        description="How long a connection is kept open between requests.",
    )
    keep_alives_enabled: Bool = Field(
        default=True, description="Off: a connection carries one request."
    )
    keepalive: HttpKeepaliveConfig | None = None
    max_connection_age: Duration = Field(
        default=0,
        ge=0,
        description="Ours: close a connection with the first answer after so long, so"
        " that clients spread over new replicas and workers; 0: never.",
    )
    compression_algorithms: Annotated[
        tuple[Literal["", "gzip", "zlib", "deflate"], ...],
        BeforeValidator(_ENCODINGS.validate_python),
    ] = Field(
        default=HTTP_ENCODINGS,
        description='Content-Encodings taken; "" is none. (zstd, snappy and lz4 are not'
        " supported.)",
    )
    response_headers: Headers = Field(
        default={}, description="Headers added to every answer."
    )
    cors: CorsConfig | None = None

    @property
    def request_bytes_max(self) -> int:
        """The largest body, decompressed."""
        return self.max_request_body_size or 64 * MIB

    @property
    def kept_open(self) -> HttpKeepaliveConfig:
        """Whether connections are kept open, and how long, however it is written."""
        return self.keepalive or HttpKeepaliveConfig(
            enabled=self.keep_alives_enabled, idle_timeout=self.idle_timeout
        )

    @classmethod
    def clashes(cls, written: Mapping[str, Any]) -> Iterable[str]:
        """Two ways to say when connections end."""
        former = written.keys() & {"idle_timeout", "keep_alives_enabled"}
        if "keepalive" in written and former:
            yield (
                "cannot use idle_timeout and keep_alives_enabled alongside keepalive,"
                " which has both"
            )

    @property
    def paths(self) -> dict[Signal, str]:
        """Where each signal is taken."""
        return {
            Signal.TRACES: self.traces_url_path,
            Signal.METRICS: self.metrics_url_path,
            Signal.LOGS: self.logs_url_path,
        }

    @field_validator("traces_url_path", "metrics_url_path", "logs_url_path")
    @classmethod
    def _absolute_path(cls, value: str) -> str:
        # As upstream: the slash may be left out.
        return value if value.startswith("/") else f"/{value}"

    @rule
    def _paths_differ(self) -> Iterator[str]:
        seen: dict[str, Signal] = {}
        for signal, path in self.paths.items():
            first = seen.setdefault(path, signal)
            if first is not signal:
                yield f"{signal.value}_url_path is the same as {first.value}_url_path"


class ProtocolsConfig(ConfigModel):
    """``protocols``: a protocol that is named, even without a value, is served."""

    grpc: Annotated[GrpcServerConfig | None, NULL_IS_EMPTY] = None
    http: Annotated[HttpServerConfig | None, NULL_IS_EMPTY] = None

    @classmethod
    def clashes(cls, written: Mapping[str, Any]) -> Iterable[str]:
        """Nothing is served."""
        if not written:
            yield _NO_PROTOCOL


_NO_PROTOCOL: Final = "must specify at least one protocol when using the OTLP receiver"


class OtlpReceiverConfig(ConfigModel):
    """``receivers.otlp``."""

    protocols: ProtocolsConfig | None = None

    @classmethod
    def clashes(cls, written: Mapping[str, Any]) -> Iterable[str]:
        """Nothing is served."""
        if not written:
            yield _NO_PROTOCOL

    @property
    def grpc(self) -> GrpcServerConfig | None:
        """The gRPC server, None when it is not served."""
        return self.protocols.grpc if self.protocols else None

    @property
    def http(self) -> HttpServerConfig | None:
        """The HTTP server, None when it is not served."""
        return self.protocols.http if self.protocols else None
