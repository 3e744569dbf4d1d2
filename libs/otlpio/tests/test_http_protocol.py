"""What OTLP/HTTP clients are answered before their body matters, over real sockets."""

from __future__ import annotations

import asyncio

import pytest

from tailring_testkit import otlp
from tailring_testkit.otlp_clients import JSON, PROTOBUF
from tailring_testkit.receiver_rig import Counts, ReceiverRig, receiver_rig

THREE = otlp.request(*(otlp.span(bytes([i]) * 16, b"s" * 8) for i in range(1, 4)))


async def exchange(rig: ReceiverRig, request: bytes) -> bytes:
    """Send bytes on a new connection; the head of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.receiver.http_port)
    try:
        writer.write(request)
        return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()


@pytest.mark.parametrize("content_type", [PROTOBUF, JSON])
async def test_an_encoding_that_cannot_be_read(content_type: str) -> None:
    """An unknown Content-Encoding is 415, and the answer says which are known."""
    async with receiver_rig() as rig:
        reply = await rig.http.post(THREE, content_type=content_type, encoding="zstd")
        assert (reply.status, reply.content_type) == (415, content_type)
        assert b"unsupported Content-Encoding: zstd" in reply.body
        assert "gzip" in reply.headers["accept-encoding"]
        assert rig.counts("http") == Counts(failure=1)


@pytest.mark.parametrize("path", ["//v1/traces?a=b", "/v1//traces", "/x/../v1/traces"])
async def test_a_path_that_needs_tidying(path: str) -> None:
    """A path with a slash too many is redirected with 307, so the body comes again."""
    async with receiver_rig() as rig:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        answer = await exchange(rig, head.encode())
        assert answer.startswith(b"HTTP/1.1 307 ")
        query = "?a=b" if "?" in path else ""
        assert f"\r\nLocation: /v1/traces{query}\r\n".encode() in answer


async def test_a_client_that_waits_to_go_on() -> None:
    """A body is asked for with 100 Continue, but not when the headers are no good."""
    head = f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: {len(THREE)}\r\n"
    wait = f"{head}Expect: 100-continue\r\nContent-Type: ".encode()
    async with receiver_rig() as rig:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", rig.receiver.http_port
        )
        writer.write(wait + PROTOBUF.encode() + b"\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(THREE)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        refused = await exchange(rig, wait + b"text/plain\r\n\r\n")
        assert refused.startswith(b"HTTP/1.1 415 ")
        assert rig.counts("http") == Counts(accepted_spans=3, success=1, failure=1)


async def test_headers_that_proxies_make_long() -> None:
    """Headers of 60 KiB, or 500 of them, do not keep a request out."""
    async with receiver_rig() as rig:
        long = {"Content-Type": PROTOBUF, "X-Client-Cert": "c" * 60 * 1024}
        many = {"Content-Type": PROTOBUF, **{f"X-{n}": "v" for n in range(500)}}
        for headers in (long, many):
            reply = await rig.http.request(
                "POST", "/v1/traces", body=THREE, headers=headers
            )
            assert reply.status == 200
