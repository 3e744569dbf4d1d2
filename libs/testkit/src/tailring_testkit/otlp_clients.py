"""Bare OTLP clients that send any bytes and return the answer instead of raising it."""

from __future__ import annotations

import io
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
import grpc
import grpc.aio
from google.rpc.error_details_pb2 import (  # type: ignore[import-untyped]  # no stubs
    RetryInfo,
)
from google.rpc.status_pb2 import (  # type: ignore[import-untyped]  # no stubs exist
    Status,
)

from tailring_testkit.backend import EXPORT_TRACES

__all__ = ["JSON", "PROTOBUF", "GrpcClient", "GrpcReply", "HttpClient", "HttpReply"]

PROTOBUF = "application/x-protobuf"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class GrpcReply:
    """The answer of one call; ``retry_after_s`` is None without a RetryInfo."""

    code: grpc.StatusCode
    details: str = ""
    retry_after_s: float | None = None
    response: bytes = b""


def retry_after_s(encoded_status: bytes) -> float | None:
    """The delay of the RetryInfo in an encoded Status."""
    for detail in Status.FromString(encoded_status).details:
        info = RetryInfo()
        if detail.Unpack(info):
            delay: float = info.retry_delay.seconds + info.retry_delay.nanos / 1e9
            return delay
    return None


class GrpcClient:
    """One connection to a gRPC server, on raw bytes; an async context manager."""

    def __init__(
        self,
        address: str,
        *,
        options: tuple[tuple[str, Any], ...] = (),
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        own = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
        if credentials is None:
            self.channel = grpc.aio.insecure_channel(address, options=own + options)
        else:
            self.channel = grpc.aio.secure_channel(
                address, credentials, options=own + options
            )

    async def export(
        self,
        payload: bytes,
        *,
        gzip: bool = False,
        method: str = EXPORT_TRACES,
        timeout_s: float = 30.0,
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> GrpcReply:
        """Send one request and say what was answered."""
        compression = grpc.Compression.Gzip if gzip else grpc.Compression.NoCompression
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
        call = self.channel.unary_unary(method)
        try:
            response = await call(
                payload, timeout=timeout_s, compression=compression, metadata=metadata
            )
        except grpc.aio.AioRpcError as error:
            trailers = dict(error.trailing_metadata() or ())
            details = trailers.get("grpc-status-details-bin", b"")
            assert isinstance(details, bytes), "binary trailers are bytes"
            return GrpcReply(
                error.code(), error.details() or "", retry_after_s(details)
            )
        return GrpcReply(grpc.StatusCode.OK, response=response)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.channel.close()


@dataclass(frozen=True, slots=True)
class HttpReply:
    """The answer of one HTTP request; header names are in lower case."""

    status: int
    content_type: str
    headers: Mapping[str, str]
    body: bytes


class HttpClient:
    """Requests to one HTTP server, past any proxy; an async context manager."""

    def __init__(self, base_url: str, *, tls: ssl.SSLContext | None = None) -> None:
        self._base_url = base_url
        connector = aiohttp.TCPConnector(ssl=tls) if tls is not None else None
        self._session = aiohttp.ClientSession(
            auto_decompress=False, connector=connector
        )

    async def post(
        self,
        body: bytes,
        *,
        content_type: str = PROTOBUF,
        encoding: str = "",
        path: str = "/v1/traces",
    ) -> HttpReply:
        """POST a body as it is; ``encoding`` only names what it already is."""
        headers = {"Content-Type": content_type} if content_type else {}
        if encoding:
            headers["Content-Encoding"] = encoding
        return await self.request("POST", path, body=body, headers=headers)

    async def request(
        self,
        method: str,
        path: str = "/v1/traces",
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> HttpReply:
        """Any request; a missing content type stays missing."""
        skip = ("Content-Type",)
        async with self._session.request(
            method,
            self._base_url + path,
            data=io.BytesIO(body) if body else None,
            headers=headers,
            skip_auto_headers=skip,
        ) as answer:
            found = {key.lower(): value for key, value in answer.headers.items()}
            content_type = answer.content_type if "content-type" in found else ""
            return HttpReply(answer.status, content_type, found, await answer.read())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()
