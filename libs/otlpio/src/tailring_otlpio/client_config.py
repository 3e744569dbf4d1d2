"""The gRPC client of an OTLP exporter as an operator writes it.

`TraceClientConfig` holds the keys of the connection. The router's ``protocol.otlp`` is
the same block without an endpoint of its own, so both read it from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Final, Literal

from pydantic import Field, field_validator, model_validator

from tailring_otlpio.target import grpc_target
from tailring_pipeline import QueueConfig, RetryConfig
from tailring_runtime.config import Bool, ConfigModel, Duration, Headers, Text

__all__ = [
    "KeepaliveClientConfig",
    "OtlpExporterConfig",
    "TlsClientConfig",
    "TraceClientConfig",
]

SECOND_NS: Final = 1_000_000_000

_NO_TLS: Final = "this version has no TLS; only `insecure: true` is understood"
_TLS_KEYS: Final = (
    "ca_file", "ca_pem", "cert_file", "cert_pem", "key_file", "key_pem",
    "min_version", "max_version", "cipher_suites",
    "include_insecure_cipher_suites", "curve_preferences", "reload_interval",
    "include_system_ca_certs_pool", "tpm",
)  # fmt: skip


class TlsClientConfig(ConfigModel):
    """``tls`` of a client: this version speaks plaintext only, and wants to be told."""

    refused: ClassVar[Mapping[str, str]] = dict.fromkeys(_TLS_KEYS, _NO_TLS)
    harmless: ClassVar[Mapping[str, tuple[object, ...]]] = {
        **dict.fromkeys(_TLS_KEYS, (None, "", False, [])),
        "tpm": (None, {}),
    }

    insecure: Bool = False
    insecure_skip_verify: Bool = Field(
        default=False, description="Means nothing without TLS, here as upstream."
    )
    server_name_override: Text = Field(
        default="", description="Means nothing without TLS, here as upstream."
    )

    @model_validator(mode="after")
    def _plaintext(self) -> TlsClientConfig:
        if not self.insecure:
            raise ValueError(
                "this version has no TLS; write `insecure: true` to send in plaintext"
            )
        return self


class KeepaliveClientConfig(ConfigModel):
    """``keepalive`` of a client; absent: it never pings."""

    time: Duration = Field(
        default=10 * SECOND_NS,
        ge=0,
        description="Ping after so long without data; a server may call less than its"
        " own minimum abuse.",
    )
    timeout: Duration = Field(
        default=10 * SECOND_NS,
        ge=0,
        description="The connection is dead when a ping is not answered for so long.",
    )
    permit_without_stream: Bool = Field(
        default=False, description="Ping also while no request is in flight."
    )


class TraceClientConfig(ConfigModel):
    """The keys of a gRPC client, but for whom it calls."""

    refused: ClassVar[Mapping[str, str]] = {
        "auth": "this version has no client authentication; use `headers`",
        "middlewares": "this version has no middleware extensions",
        "read_buffer_size": "grpcio sizes its read buffers itself",
        "write_buffer_size": "grpcio sizes its write buffers itself",
    }
    harmless: ClassVar[Mapping[str, tuple[object, ...]]] = {
        "middlewares": (None, []),
    }

    compression: Literal["gzip", "none", ""] = Field(
        default="gzip",
        description="gzip or none (grpcio has neither snappy nor zstd). Between our two"
        " tiers inside one zone, none is cheaper.",
    )
    tls: TlsClientConfig | None = None
    keepalive: KeepaliveClientConfig | None = None
    wait_for_ready: Bool = Field(
        default=False,
        description="Let a request wait, within its timeout, for a connection.",
    )
    headers: Headers = Field(default={}, description="Metadata of every request.")
    balancer_name: Literal["round_robin", "pick_first", ""] = Field(
        default="round_robin",
        description="How requests spread over the addresses of one name.",
    )
    authority: Text = Field(
        default="", description="The :authority header; empty: from the endpoint."
    )
    user_agent: Text = Field(
        default="", description="Put in front of grpcio's own user agent."
    )

    @field_validator("compression", mode="before")
    @classmethod
    def _known_compression(cls, value: object) -> object:
        if value in ("snappy", "zstd", "deflate", "zlib", "lz4", "x-snappy-framed"):
            raise ValueError(
                f"compression {value} cannot be sent by grpcio; use gzip or none"
            )
        return value

    @field_validator("headers")
    @classmethod
    def _sendable(cls, value: Headers) -> Headers:
        for name, secret in value.items():
            if not name or not name.isascii() or name.startswith(("grpc-", ":")):
                raise ValueError(f"{name!r} is no name for a header")
            text = secret.get_secret_value()
            if not name.endswith("-bin") and not (text.isascii() and _printable(text)):
                raise ValueError(f"the value of {name!r} has characters beyond ASCII")
        return value

    def advice(self) -> Iterable[str]:
        """Plaintext that nobody asked for is worth a line at start."""
        if self.tls is None:
            yield (
                "no `tls` block: sending in plaintext (upstream would use TLS; this"
                " version has none). Write `tls: {insecure: true}` to say so"
            )


def _printable(text: str) -> bool:
    return all(" " <= char <= "~" for char in text)


class OtlpExporterConfig(TraceClientConfig):
    """``exporters.otlp``."""

    refused: ClassVar[Mapping[str, str]] = {
        **TraceClientConfig.refused,
        "batcher": "use the batch processor",
    }
    spellings: ClassVar[Mapping[str, str]] = {"queue": "sending_queue"}

    endpoint: Text = Field(
        default="",
        description="host:port, http://host:port or dns:///host:port of the backend.",
    )
    timeout: Duration = Field(
        default=5 * SECOND_NS, ge=0, description="Limit of one attempt; 0: none."
    )
    sending_queue: QueueConfig = QueueConfig()
    retry_on_failure: RetryConfig = RetryConfig()

    @model_validator(mode="after")
    def _target(self) -> OtlpExporterConfig:
        grpc_target(self.endpoint)
        return self
