"""gRPC calls as bare HTTP/2, unusual, doubtful or broken, by name.

No gRPC library makes most of these, so a small Node program sends them
(``tests/interop/node/raw_grpc.mjs``); `RawGrpc` is that program as a child.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import struct
import zlib
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tailring_testkit import odd_protobuf
from tailring_testkit.backend import EXPORT_TRACES
from tailring_testkit.servers import repository

__all__ = ["CALLS", "Call", "GrpcAnswer", "RawGrpc", "raw_grpc"]

_PROTO = odd_protobuf.GOOD
_GZIP = gzip.compress(_PROTO)


@dataclass(frozen=True, slots=True)
class Call:
    """Headers, pseudo-headers included, and the bytes that follow."""

    headers: Mapping[str, str]
    frames: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class GrpcAnswer:
    """The HTTP status, the gRPC code (None: no trailer) and the code of a reset."""

    http_status: int
    code: int | None
    reset: int


def _message(body: bytes = _PROTO, *, flag: int = 0, size: int | None = None) -> bytes:
    return struct.pack(">BI", flag, len(body) if size is None else size) + body


def _call(*frames: bytes, without: str = "", **changed: str) -> Call:
    """A call; ``method`` and ``path`` are pseudo-headers, the others headers."""
    pseudo = {":method": "POST", ":path": EXPORT_TRACES, ":scheme": "http"}
    headers = {**pseudo, "content-type": "application/grpc", "te": "trailers"}
    for name, value in changed.items():
        key = f":{name}" if name in ("method", "path") else name.replace("_", "-")
        headers[key] = value
    headers.pop(without, None)
    return Call(headers, frames)


def _typed(content_type: str) -> Call:
    return _call(_message(), content_type=content_type)


def _encoded(body: bytes, encoding: str) -> Call:
    return _call(_message(body, flag=1), grpc_encoding=encoding)


def _to(path: str) -> Call:
    return _call(_message(), path=path)


_SERVICE = EXPORT_TRACES.rpartition("/")[0]
_OPENTELEMETRY = "/opentelemetry.proto.collector"

CALLS: Mapping[str, Call] = {
    "good": _call(_message()),
    "type-proto": _typed("application/grpc+proto"),
    "type-json": _typed("application/grpc+json"),
    "type-of-http": _typed("application/x-protobuf"),
    "type-text": _typed("text/plain"),
    "type-missing": _call(_message(), without="content-type"),
    "type-web": _typed("application/grpc-web"),
    "no-te": _call(_message(), without="te"),
    "get": _call(method="GET"),
    "put": _call(_message(), method="PUT"),
    "empty-message": _call(_message(b"")),
    "garbage": _call(_message(b"\xff" * 50)),
    "no-message": _call(),
    "two-messages": _call(_message(), _message()),
    "two-messages-in-a-frame": _call(_message() + _message()),
    "message-cut": _call(_message()[:-3]),
    "prefix-cut": _call(_message()[:3]),
    "trailing-byte": _call(_message() + b"x"),
    "size-beyond": _call(_message(size=len(_PROTO) + 5)),
    "size-4-gib": _call(_message(size=2**32 - 1)),
    "message-in-pieces": _call(_message()[:2], _message()[2:9], _message()[9:]),
    "flag-without-encoding": _call(_message(_GZIP, flag=1)),
    "flag-2": _call(_message(flag=2)),
    "gzip": _encoded(_GZIP, "gzip"),
    "gzip-not-used": _call(_message(), grpc_encoding="gzip"),
    "gzip-not": _encoded(_PROTO, "gzip"),
    "gzip-members": _encoded(
        gzip.compress(_PROTO[:9]) + gzip.compress(_PROTO[9:]), "gzip"
    ),
    "gzip-trailing": _encoded(_GZIP + b"xx", "gzip"),
    "gzip-cut": _encoded(_GZIP[:-9], "gzip"),
    "gzip-of-nothing": _encoded(gzip.compress(b""), "gzip"),
    "deflate": _encoded(zlib.compress(_PROTO), "deflate"),
    "identity": _call(_message(), grpc_encoding="identity"),
    "zstd": _call(_message(), grpc_encoding="zstd"),
    "encoding-unknown": _encoded(_PROTO, "foo"),
    "accept-others": _call(_message(), grpc_accept_encoding="snappy,zstd,gzip"),
    "method-unknown": _to(f"{_SERVICE}/Foo"),
    "method-lower": _to(f"{_SERVICE}/export"),
    "service-unknown": _to("/a.B/C"),
    "service-of-metrics": _to(f"{_OPENTELEMETRY}.metrics.v9.MetricsService/Export"),
    "path-of-http": _to("/v1/traces"),
    "path-root": _to("/"),
    "timeout": _call(_message(), grpc_timeout="1M"),
    "timeout-malformed": _call(_message(), grpc_timeout="soon"),
    "timeout-of-nine-digits": _call(_message(), grpc_timeout="123456789S"),
    "metadata-binary": _call(_message(), x_a_bin="AQID"),
    "metadata-binary-malformed": _call(_message(), x_a_bin="!!!"),
    "metadata-reserved": _call(_message(), grpc_foo="x"),
    "metadata-status": _call(_message(), grpc_status="3"),
    "metadata-100": _call(_message(), **{f"x_{n}": "y" for n in range(100)}),
    "metadata-6k": _call(_message(), x_a="x" * 6_000),
    "metadata-7k-token": _call(_message(), authorization="Bearer " + "x" * 7_000),
    "metadata-12k": _call(_message(), x_a="x" * 12_000),
    "metadata-60k": _call(_message(), x_a="x" * 60_000),
}


class RawGrpc:
    """The Node program, connected to one server; ask it one call at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def call(self, call: Call) -> GrpcAnswer:
        """Make a call; its answer, which may be that nothing came."""
        frames = [base64.b64encode(frame).decode() for frame in call.frames]
        line = json.dumps({"headers": dict(call.headers), "frames": frames})
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()
        answer = json.loads(await self._process.stdout.readline())
        assert "error" not in answer, answer
        found = {**answer["headers"], **answer["trailers"]}
        code = found.get("grpc-status")
        return GrpcAnswer(
            found.get(":status", 0),
            None if code is None else int(code),
            answer["reset"],
        )


@asynccontextmanager
async def raw_grpc(port: int) -> AsyncIterator[RawGrpc]:
    """Start the program for the server on ``port``."""
    program = repository() / "tests/interop/node/raw_grpc.mjs"
    process = await asyncio.create_subprocess_exec(
        "node", program, f"http://127.0.0.1:{port}", stdin=PIPE, stdout=PIPE
    )
    try:
        yield RawGrpc(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
