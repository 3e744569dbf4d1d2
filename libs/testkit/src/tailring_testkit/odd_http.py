"""HTTP requests as bytes, unusual, doubtful or broken, by name; and their exchange.

No client library writes most of these, so they go over bare sockets.
"""

from __future__ import annotations

import asyncio
import gzip
import http.client
import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tailring_testkit import odd_json, odd_protobuf

__all__ = ["REQUESTS", "Exchanged", "RawReply", "exchange", "post"]

_PROTO = odd_protobuf.GOOD
_TYPE = b"Content-Type: application/x-protobuf\r\n"
_JSON = b"Content-Type: application/json\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_LINE = b"POST /v1/traces HTTP/1.1"


def post(
    body: bytes = _PROTO,
    *,
    line: bytes = _LINE,
    headers: bytes = _TYPE,
    length: bool = True,
) -> bytes:
    """A request; ``length`` adds the body's Content-Length."""
    counted = b"Content-Length: %d\r\n" % len(body) if length else b""
    return line + b"\r\nHost: x\r\n" + headers + counted + b"\r\n" + body


def _encoded(body: bytes, encoding: bytes) -> bytes:
    return post(body, headers=_TYPE + b"Content-Encoding: " + encoding + b"\r\n")


def _typed(content_type: bytes) -> bytes:
    return post(headers=b"Content-Type: " + content_type + b"\r\n")


def _with(header: bytes) -> bytes:
    return post(headers=_TYPE + header + b"\r\n")


def _to(target: bytes) -> bytes:
    return post(line=b"POST " + target + b" HTTP/1.1")


def _asked(method: bytes, *, headers: bytes = b"") -> bytes:
    return post(b"", line=method + b" /v1/traces HTTP/1.1", headers=headers)


def _chunks(body: bytes) -> bytes:
    cut = [body[at : at + 9] for at in range(0, len(body), 9)]
    return b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in cut) + b"0\r\n\r\n"


def _chunked(body: bytes, *, headers: bytes = _CHUNKED, length: bool = False) -> bytes:
    return post(body, headers=_TYPE + headers, length=length)


def _raw_deflate(body: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(body) + stream.flush()


_GZIP = gzip.compress(_PROTO)
_ZLIB = zlib.compress(_PROTO)

_CONTENT_TYPES: Mapping[str, bytes] = {
    "good": post(),
    "json": post(odd_json.GOOD, headers=_JSON),
    "type-charset": post(
        odd_json.GOOD, headers=b"Content-Type: application/json; charset=utf-8\r\n"
    ),
    "type-charset-of-protobuf": _typed(b"application/x-protobuf; charset=latin-1"),
    "type-upper": _typed(b"APPLICATION/X-PROTOBUF"),
    "type-lower-header": post(headers=_TYPE.lower()),
    "type-missing": post(headers=b""),
    "type-empty": _typed(b""),
    "type-text": _typed(b"text/plain"),
    "type-protobuf": _typed(b"application/protobuf"),
    "type-octets": _typed(b"application/octet-stream"),
    "type-grpc": _typed(b"application/grpc"),
    "type-form": _typed(b"application/x-www-form-urlencoded"),
    "type-semicolon": _typed(b"application/x-protobuf;"),
    "type-broken-parameter": _typed(b"application/x-protobuf; x"),
    "type-spaces": _typed(b"   application/x-protobuf  "),
    "type-twice": post(headers=_TYPE + _JSON),
    "type-list": _typed(b"application/x-protobuf, application/json"),
    "json-as-protobuf": post(odd_json.GOOD),
    "protobuf-as-json": post(headers=_JSON),
}

_ENCODINGS: Mapping[str, bytes] = {
    "gzip": _encoded(_GZIP, b"gzip"),
    "gzip-json": post(
        gzip.compress(odd_json.GOOD), headers=_JSON + b"Content-Encoding: gzip\r\n"
    ),
    "gzip-upper": _encoded(_GZIP, b"GZIP"),
    "x-gzip": _encoded(_GZIP, b"x-gzip"),
    "gzip-members": _encoded(
        gzip.compress(_PROTO[:9]) + gzip.compress(_PROTO[9:]), b"gzip"
    ),
    "gzip-two-requests": _encoded(_GZIP + _GZIP, b"gzip"),
    "gzip-trailing": _encoded(_GZIP + b"xx", b"gzip"),
    "gzip-trailing-zeros": _encoded(_GZIP + bytes(16), b"gzip"),
    "gzip-cut": _encoded(_GZIP[:-9], b"gzip"),
    "gzip-cut-trailer": _encoded(_GZIP[:-4], b"gzip"),
    "gzip-wrong-checksum": _encoded(_GZIP[:-8] + bytes(4) + _GZIP[-4:], b"gzip"),
    "gzip-wrong-size": _encoded(_GZIP[:-4] + bytes(4), b"gzip"),
    "gzip-not": _encoded(_PROTO, b"gzip"),
    "gzip-no-body": _encoded(b"", b"gzip"),
    "gzip-of-nothing": _encoded(gzip.compress(b""), b"gzip"),
    "gzip-of-garbage": _encoded(gzip.compress(b"\xff" * 50), b"gzip"),
    "gzip-in-gzip": _encoded(gzip.compress(_GZIP), b"gzip"),
    "gzip-gzip": _encoded(gzip.compress(_GZIP), b"gzip, gzip"),
    "gzip-of-1-mib": _encoded(
        gzip.compress(odd_protobuf.BODIES["value-1-mib"]), b"gzip"
    ),
    "deflate": _encoded(_ZLIB, b"deflate"),
    "zlib": _encoded(_ZLIB, b"zlib"),
    "deflate-raw": _encoded(_raw_deflate(_PROTO), b"deflate"),
    "deflate-trailing": _encoded(_ZLIB + b"xx", b"deflate"),
    "deflate-two-requests": _encoded(_ZLIB + _ZLIB, b"deflate"),
    "deflate-cut": _encoded(_ZLIB[:-2], b"deflate"),
    "deflate-wrong-checksum": _encoded(_ZLIB[:-4] + bytes(4), b"deflate"),
    "deflate-no-body": _encoded(b"", b"deflate"),
    "deflate-as-gzip": _encoded(_ZLIB, b"gzip"),
    "identity": _encoded(_PROTO, b"identity"),
    "encoding-empty": _encoded(_PROTO, b""),
    "brotli": _encoded(_PROTO, b"br"),
    "encoding-unknown": _encoded(_PROTO, b"foo"),
    "encoding-unknown-json": post(
        odd_json.GOOD, headers=_JSON + b"Content-Encoding: foo\r\n"
    ),
    "encoding-and-type-unknown": post(
        headers=b"Content-Type: text/plain\r\nContent-Encoding: foo\r\n"
    ),
}

_METHODS: Mapping[str, bytes] = {
    "get": _asked(b"GET"),
    "get-typed": _asked(b"GET", headers=_TYPE),
    "head": _asked(b"HEAD"),
    "delete": _asked(b"DELETE"),
    "options": _asked(b"OPTIONS"),
    "preflight": _asked(
        b"OPTIONS",
        headers=b"Origin: http://a\r\nAccess-Control-Request-Method: POST\r\n",
    ),
    "trace": _asked(b"TRACE"),
    "put": post(line=b"PUT /v1/traces HTTP/1.1"),
    "patch": post(line=b"PATCH /v1/traces HTTP/1.1"),
    "method-unknown": post(line=b"BREW /v1/traces HTTP/1.1"),
    "method-lower": post(line=b"post /v1/traces HTTP/1.1"),
    "options-of-the-server": post(b"", line=b"OPTIONS * HTTP/1.1", headers=b""),
}

_PATHS: Mapping[str, bytes] = {
    "path-slash": _to(b"/v1/traces/"),
    "path-query": _to(b"/v1/traces?x=1&y"),
    "path-fragment": _to(b"/v1/traces#x"),
    "path-double-slash": _to(b"//v1/traces"),
    "path-slash-inside": _to(b"/v1//traces"),
    "path-dots": _to(b"/a/../v1/traces"),
    "path-escaped": _to(b"/v1/%74races"),
    "path-escaped-slash": _to(b"/v1%2Ftraces"),
    "path-upper": _to(b"/V1/Traces"),
    "path-root": _to(b"/"),
    "path-other": _to(b"/v1/spans"),
    "path-absolute": _to(b"http://x/v1/traces"),
    "path-20k": _to(b"/v1/traces?" + b"x" * 20_000),
}

_FRAMING: Mapping[str, bytes] = {
    "http-1.0": post(line=b"POST /v1/traces HTTP/1.0"),
    "http-1.0-kept-alive": post(
        line=b"POST /v1/traces HTTP/1.0", headers=_TYPE + b"Connection: keep-alive\r\n"
    ),
    "http-1.0-no-length": post(b"", line=b"POST /v1/traces HTTP/1.0", length=False),
    "http-1.2": post(line=b"POST /v1/traces HTTP/1.2"),
    "no-host": post().replace(b"Host: x\r\n", b""),
    "two-hosts": _with(b"Host: y"),
    "close": _with(b"Connection: close"),
    "no-length": post(b"", length=False),
    "length-twice": _with(b"Content-Length: %d" % len(_PROTO)),
    "length-differs": _with(b"Content-Length: 3"),
    "length-negative": _chunked(b"", headers=b"Content-Length: -1\r\n"),
    "length-text": _chunked(b"", headers=b"Content-Length: x\r\n"),
    "chunked": _chunked(_chunks(_PROTO)),
    "chunked-extension": _chunked(b"%x;a=b\r\n%s\r\n0\r\n\r\n" % (len(_PROTO), _PROTO)),
    "chunked-trailer": _chunked(_chunks(_PROTO)[:-2] + b"X-Trailer: 1\r\n\r\n"),
    "chunked-empty": _chunked(_chunks(b"")),
    "chunked-gzip": _chunked(
        _chunks(_GZIP), headers=_CHUNKED + b"Content-Encoding: gzip\r\n"
    ),
    "chunked-broken": _chunked(b"zz\r\n"),
    "chunked-and-length": _chunked(_chunks(_PROTO), length=True),
    "transfer-gzip": _chunked(
        _chunks(_GZIP), headers=b"Transfer-Encoding: gzip, chunked\r\n"
    ),
    "transfer-unknown": _with(b"Transfer-Encoding: foo"),
    "line-feeds-only": post().replace(b"\r\n", b"\n"),
    "leading-line": b"\r\n" + post(),
    "tls-hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    + bytes(50)
    + b"\r\n\r\n",
    "http-2-preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "upgrade-to-http-2": _with(
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAAQAAP__"
    ),
    "upgrade-to-websocket": _with(b"Connection: Upgrade\r\nUpgrade: websocket"),
}

_HEADERS: Mapping[str, bytes] = {
    "expect-unknown": _with(b"Expect: miracle"),
    "accept-gzip": _with(b"Accept-Encoding: gzip"),
    "accept-json": _with(b"Accept: application/json"),
    "origin": _with(b"Origin: http://a"),
    "header-20k": _with(b"X-Big: " + b"x" * 20_000),
    "header-60k": _with(b"X-Big: " + b"x" * 60_000),
    "header-100k": _with(b"X-Big: " + b"x" * 100_000),
    "header-2m": _with(b"X-Big: " + b"x" * 2_000_000),
    "headers-500": _with(b"\r\n".join(b"X-%d: y" % n for n in range(500))),
    "headers-2000": _with(b"\r\n".join(b"X-%d: y" % n for n in range(2000))),
    "header-latin-1": _with(b"X-A: caf\xe9"),
    "header-control-character": _with(b"X-A: a\x01b"),
    "header-nul": _with(b"X-A: a\x00b"),
    "header-without-colon": _with(b"X-A"),
    "header-name-with-space": _with(b"X A: b"),
    "header-space-before-colon": _with(b"X-A : b"),
    "header-folded": _with(b"X-A: a\r\n b"),
}

REQUESTS: Mapping[str, bytes] = {
    **_CONTENT_TYPES,
    **_ENCODINGS,
    **_METHODS,
    **_PATHS,
    **_FRAMING,
    **_HEADERS,
}


# ---------------------------------------------------------------- exchange


@dataclass(frozen=True, slots=True)
class RawReply:
    """One answer, its content type without parameters."""

    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What came back on a connection, and whether it was closed afterwards."""

    replies: tuple[RawReply, ...]
    closed: bool


class _Received(io.BytesIO):
    """What `http.client` takes for a socket: it must stay open between answers."""

    def makefile(self, *_: Any) -> _Received:
        return self

    def close(self) -> None:
        """Stay open."""


_ANSWER_S = 10.0
_CLOSE_S = 0.1


async def exchange(port: int, request: bytes, *, replies: int = 1) -> Exchanged:
    """Send bytes on a new connection and read so many answers (or to its end)."""
    method = request.split(b" ", 1)[0].decode("latin-1")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    data: bytes | None = b"?"
    try:
        writer.write(request)
        while data:
            done = len(_replies(received, method)) >= replies
            data = await _read(reader, within_s=_CLOSE_S if done else _ANSWER_S)
            received += data or b""
    finally:
        writer.close()
    return Exchanged(tuple(_replies(received, method)), closed=data == b"")


async def _read(reader: asyncio.StreamReader, *, within_s: float) -> bytes | None:
    """What comes next; empty at the end of the connection, None if nothing comes."""
    try:
        async with asyncio.timeout(within_s):
            return await reader.read(1 << 16)
    except TimeoutError:
        return None
    except ConnectionError:
        return b""


def _replies(received: bytes, method: str) -> list[RawReply]:
    """The complete answers among what was received."""
    stream = _Received(received)
    found: list[RawReply] = []
    while stream.tell() < len(received):
        answer = http.client.HTTPResponse(stream, method=method)  # type: ignore[arg-type]  # it only calls makefile
        try:
            answer.begin()
            body = answer.read()
        except (http.client.HTTPException, ValueError):
            break
        written = answer.headers.get("Content-Type", "")
        found.append(RawReply(answer.status, written.partition(";")[0], body))
    return found
