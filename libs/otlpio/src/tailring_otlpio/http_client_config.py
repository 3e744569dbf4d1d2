"""``exporters.otlphttp`` as an operator writes it.

Keys, defaults and rules are upstream's confighttp client and its otlp_http exporter.
What differs is what aiohttp cannot do: it speaks HTTP/1.1 and compresses with zlib.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Final, Literal

from pydantic import Field, field_validator
from yarl import URL

from tailring_otlpio.client_config import ClientAuthConfig
from tailring_otlpio.metadata_keys import METADATA_KEYS, check_metadata_keys
from tailring_otlpio.tls_config import TlsClientConfig
from tailring_pipeline import QueueConfig, RetryConfig, Signal
from tailring_runtime.config import (
    Bool,
    ConfigModel,
    Duration,
    Headers,
    Int,
    Text,
    TextList,
    rule,
)

__all__ = [
    "CompressionParams",
    "CookiesConfig",
    "HttpTlsClientConfig",
    "KeepaliveHttpConfig",
    "OtlpHttpExporterConfig",
]

SECOND_NS: Final = 1_000_000_000

_NO_HTTP2: Final = "requests are sent with HTTP/1.1"
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LEVEL_MIN: Final = -2
_LEVEL_MAX: Final = 9
_OLD_KEEPALIVE: Final = (
    "idle_conn_timeout",
    "max_idle_conns",
    "max_idle_conns_per_host",
    "disable_keep_alives",
)


class HttpTlsClientConfig(TlsClientConfig):
    """``tls`` of an HTTP client: used for https://, whatever `insecure` says."""

    # What grpcio cannot do, the standard library can.

    @rule
    def _verifies(self) -> Iterator[str]:
        yield from ()

    @rule
    def _versions(self) -> Iterator[str]:
        yield from ()


class CompressionParams(ConfigModel):
    """``compression_params`` of a client."""

    level: Int = Field(
        default=0,
        ge=_LEVEL_MIN,
        le=_LEVEL_MAX,
        description="1 (fast) to 9 (small); 0, -1: zlib's default; -2: Huffman only.",
    )


class CookiesConfig(ConfigModel):
    """``cookies`` of a client; being there, it keeps what the backend sets."""

    enabled: Bool = Field(default=True, description="Off: as if it was not there.")


class KeepaliveHttpConfig(ConfigModel):
    """``keepalive`` of an HTTP client."""

    enabled: Bool = Field(default=True, description="Off: a connection a request.")
    idle_conn_timeout: Duration = Field(
        default=90 * SECOND_NS,
        ge=0,
        description="How long a connection without requests stays open; 0: for ever.",
    )
    max_idle_conns: Int = Field(
        default=100, ge=0, description="Most connections without requests; 0: no limit."
    )
    max_idle_conns_per_host: Int = Field(
        default=0, ge=0, description="The same for one host; 0: no limit of its own."
    )


class OtlpHttpExporterConfig(ConfigModel):
    """``exporters.otlphttp``."""

    refused: ClassVar[Mapping[str, str]] = {
        "middlewares": "this version has no middleware extensions",
        "write_buffer_size": "a body is written whole, there is no buffer to size",
        "force_attempt_http2": _NO_HTTP2,
        "http2_read_idle_timeout": _NO_HTTP2,
        "http2_ping_timeout": _NO_HTTP2,
        "profiles_endpoint": "there are no pipelines of profiles here",
        "batcher": "use the batch processor",
    }
    harmless: ClassVar[Mapping[str, tuple[object, ...]]] = {
        "middlewares": (None, []),
        "write_buffer_size": (None, 0, 512 * 1024),
        "force_attempt_http2": (None, False),
        "http2_read_idle_timeout": (None, 0, "0", "0s"),
        "http2_ping_timeout": (None, 0, "0", "0s"),
        "profiles_endpoint": (None, ""),
    }
    spellings: ClassVar[Mapping[str, str]] = {"queue": "sending_queue"}

    endpoint: Text = Field(
        default="",
        description="http://host:port or https://...; the path of the signal"
        " (/v1/traces, ...) is added.",
    )
    traces_endpoint: Text = Field(
        default="", description="The whole URL for traces, in place of `endpoint`."
    )
    logs_endpoint: Text = Field(
        default="", description="The whole URL for logs, in place of `endpoint`."
    )
    metrics_endpoint: Text = Field(
        default="", description="The whole URL for metrics, in place of `endpoint`."
    )
    encoding: Literal["proto", "json"] = Field(
        default="proto", description="proto, or json, which costs far more CPU."
    )
    compression: Literal["gzip", "zlib", "deflate", "none", ""] = Field(
        default="gzip", description="gzip, zlib, deflate or none."
    )
    compression_params: CompressionParams = CompressionParams()
    headers: Headers = Field(
        default={}, description="Headers of every request, over those of our own."
    )
    timeout: Duration = Field(
        default=30 * SECOND_NS, ge=0, description="Limit of one attempt; 0: none."
    )
    read_buffer_size: Int = Field(
        default=0,
        ge=0,
        description="Bytes of an answer that are read ahead; 0: 64 KiB.",
    )
    tls: HttpTlsClientConfig = Field(
        default=HttpTlsClientConfig(), description="For URLs with https://."
    )
    auth: ClientAuthConfig | None = None
    proxy_url: Text = Field(
        default="",
        description="http:// or https:// proxy; empty: as HTTP_PROXY, HTTPS_PROXY and"
        " NO_PROXY say.",
    )
    max_conns_per_host: Int = Field(
        default=0, ge=0, description="Most connections to one host; 0: no limit."
    )
    keepalive: KeepaliveHttpConfig | None = None
    idle_conn_timeout: Duration = Field(
        default=90 * SECOND_NS, ge=0, description="Older place of `keepalive`'s."
    )
    max_idle_conns: Int = Field(
        default=100, ge=0, description="Older place of `keepalive`'s."
    )
    max_idle_conns_per_host: Int = Field(
        default=0, ge=0, description="Older place of `keepalive`'s."
    )
    disable_keep_alives: Bool = Field(
        default=False, description="Older form of `keepalive`'s `enabled: false`."
    )
    cookies: CookiesConfig | None = None
    metadata_keys: TextList = Field(default=(), description=METADATA_KEYS)
    sending_queue: QueueConfig = QueueConfig()
    retry_on_failure: RetryConfig = RetryConfig()

    @field_validator("compression", mode="before")
    @classmethod
    def _known_compression(cls, value: object) -> object:
        if value in ("snappy", "zstd", "lz4", "x-snappy-framed"):
            raise ValueError(
                f"compression {value} needs a library that is not used here; use gzip,"
                " zlib, deflate or none"
            )
        return value

    @field_validator("headers")
    @classmethod
    def _sendable(cls, value: Headers) -> Headers:
        for name, secret in value.items():
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name for a header")
            if re.search(r"[\r\n\0]", secret.get_secret_value()):
                raise ValueError(f"the value of {name!r} has more than one line")
        return value

    @field_validator("endpoint", "traces_endpoint", "logs_endpoint", "metrics_endpoint")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if value:
            _url(value, ("http", "https"))
        return value

    @field_validator("proxy_url")
    @classmethod
    def _is_proxy(cls, value: str) -> str:
        if value:
            _url(value, ("http", "https"))
        return value

    @classmethod
    def clashes(cls, written: Mapping[str, Any]) -> Iterator[str]:
        """The keys of connections are written in one place."""
        if written.get("keepalive") is None:
            return
        old = [key for key in _OLD_KEEPALIVE if written.get(key)]
        if old:
            yield (
                f"{', '.join(old)}: cannot be used alongside keepalive; write them"
                " there"
            )

    @rule
    def _keys(self) -> Iterator[str]:
        check_metadata_keys(self.metadata_keys, self.headers)
        yield from ()

    @rule
    def _somewhere(self) -> Iterator[str]:
        if not any(self._written(signal) for signal in Signal):
            yield "at least one endpoint must be specified"

    @rule
    def _idle_connections(self) -> Iterator[str]:
        most = self.max_conns_per_host
        if not most and self.sending_queue.enabled:
            most = self.sending_queue.num_consumers
        block = self if self.keepalive is None else self.keepalive
        for key in ("max_idle_conns", "max_idle_conns_per_host"):
            limit = getattr(block, key)
            written = key in block.model_fields_set
            if written and limit and not 0 < most <= limit:
                yield (
                    f"{key}: as many connections stay open as are used at once; lower"
                    f" max_conns_per_host or num_consumers to {limit}"
                )

    @property
    def connections(self) -> KeepaliveHttpConfig:
        """How long connections live, wherever it is written."""
        if self.keepalive is not None:
            return self.keepalive
        return KeepaliveHttpConfig(
            enabled=not self.disable_keep_alives,
            idle_conn_timeout=self.idle_conn_timeout,
            max_idle_conns=self.max_idle_conns,
            max_idle_conns_per_host=self.max_idle_conns_per_host,
        )

    @property
    def plaintext(self) -> bool:
        """Whether no request is encrypted."""
        urls = [self.endpoint, *(self._written(signal) for signal in Signal)]
        return not any(URL(url).scheme == "https" for url in urls if url)

    def url(self, signal: Signal) -> URL:
        """Where requests of a signal go."""
        own: str = getattr(self, f"{signal.value}_endpoint")
        return URL(own or f"{self.endpoint.removesuffix('/')}/v1/{signal.value}")

    def unfit(self, signal: str) -> Iterable[tuple[str, str]]:
        """A pipeline of a signal needs a URL for it."""
        if not self._written(Signal(signal)):
            key = f"{signal}_endpoint"
            yield key, f"either endpoint or {key} must be specified"

    def _written(self, signal: Signal) -> str:
        own: str = getattr(self, f"{signal.value}_endpoint")
        return own or self.endpoint


def _url(text: str, schemes: tuple[str, ...]) -> URL:
    """The URL of a text. Raises ValueError with a sentence for the operator."""
    url = URL(text)
    shown = url.with_user(None) if url.host else text
    if url.scheme not in schemes:
        raise ValueError(f"{shown} must begin with http:// or https://")
    if not url.host:
        raise ValueError(f"{shown} has no host")
    return url
