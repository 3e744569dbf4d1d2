"""The gRPC client of an OTLP exporter as an operator writes it.

`OtlpClientConfig` holds the keys of the connection. The router's ``protocol.otlp`` is
the same block without an endpoint of its own, so both read it from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, Final, Literal

from pydantic import Field, field_validator

from tailring_otlpio.metadata_keys import METADATA_KEYS, check_metadata_keys
from tailring_otlpio.target import HTTPS, grpc_target
from tailring_otlpio.tls_config import TlsClientConfig
from tailring_pipeline import QueueConfig, RetryConfig
from tailring_runtime.config import (
    Bool,
    ClientAuthenticator,
    ConfigModel,
    Duration,
    Headers,
    Text,
    TextList,
    rule,
)

__all__ = [
    "ClientAuthConfig",
    "KeepaliveClientConfig",
    "OtlpClientConfig",
    "OtlpExporterConfig",
]

SECOND_NS: Final = 1_000_000_000


class ClientAuthConfig(ConfigModel):
    """``auth`` of an exporter."""

    authenticator: ClientAuthenticator = Field(
        description="The extension that makes every request known to the backend."
    )


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


class OtlpClientConfig(ConfigModel):
    """The keys of a gRPC client, but for whom it calls."""

    refused: ClassVar[Mapping[str, str]] = {
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
    tls: TlsClientConfig = Field(
        default=TlsClientConfig(), description="TLS is on unless it says `insecure`."
    )
    auth: ClientAuthConfig | None = None
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

    @property
    def plaintext(self) -> bool:
        """Whether nothing is encrypted on the way."""
        return self.tls.plaintext

    @rule
    def _secrets_are_encrypted(self) -> Iterator[str]:
        if self.auth is not None and self.plaintext:
            yield (
                "auth: credentials are sent with TLS only, here as upstream; take"
                " `insecure` out of tls"
            )


def _printable(text: str) -> bool:
    return all(" " <= char <= "~" for char in text)


class OtlpExporterConfig(OtlpClientConfig):
    """``exporters.otlp``."""

    refused: ClassVar[Mapping[str, str]] = {
        **OtlpClientConfig.refused,
        "batcher": "use the batch processor",
    }
    spellings: ClassVar[Mapping[str, str]] = {"queue": "sending_queue"}

    endpoint: Text = Field(
        default="",
        description="host:port, https://host:port or dns:///host:port of the backend.",
    )
    timeout: Duration = Field(
        default=5 * SECOND_NS, ge=0, description="Limit of one attempt; 0: none."
    )
    metadata_keys: TextList = Field(default=(), description=METADATA_KEYS)
    sending_queue: QueueConfig = QueueConfig()
    retry_on_failure: RetryConfig = RetryConfig()

    @rule
    def _keys(self) -> Iterable[str]:
        check_metadata_keys(self.metadata_keys, self.headers)
        return ()

    @rule
    def _target(self) -> Iterable[str]:
        grpc_target(self.endpoint)
        return ()

    @property
    def plaintext(self) -> bool:
        """Whether nothing is encrypted on the way; https:// always is."""
        return super().plaintext and not self.endpoint.startswith(HTTPS)
