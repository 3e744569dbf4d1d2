"""What a client can take of a receiver: connections, time, room. Others are served."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from tailring_otlpio import ReceiverSettings
from tailring_testkit import otlp
from tailring_testkit.backend import EXPORT_TRACES
from tailring_testkit.otlp_clients import GrpcClient, HttpClient
from tailring_testkit.pki import Authority, ClientTls
from tailring_testkit.receiver_rig import Counts, ReceiverRig, receiver_rig, until

REQUEST = otlp.request(otlp.span(b"\x01" * 16, b"\x02" * 8))
CLOSED = "tailring_receiver_connections_closed"
HEAD = (
    b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
IDLE = 1_000


@contextmanager
def descriptors(wanted: int) -> Iterator[None]:
    """As many open files as the test needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(wanted, hard)), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def port_of(rig: ReceiverRig, door: str) -> int:
    """Where a door listens."""
    return rig.receiver.grpc_port if door == "grpc" else rig.receiver.http_port


@asynccontextmanager
async def connections(port: int, count: int) -> AsyncIterator[list[socket.socket]]:
    """So many connections, on which nothing is said."""
    loop = asyncio.get_running_loop()
    opened: list[socket.socket] = []
    try:
        for _ in range(count):
            one = socket.socket()
            one.setblocking(False)
            opened.append(one)
            await loop.sock_connect(one, ("127.0.0.1", port))
        yield opened
    finally:
        for one in opened:
            one.close()


async def ended(connection: socket.socket) -> bytes:
    """What the other side says until it closes."""
    loop = asyncio.get_running_loop()
    said = b""
    with contextlib.suppress(ConnectionError):
        while chunk := await loop.sock_recv(connection, 65_536):
            said += chunk
    return said


async def served(rig: ReceiverRig) -> None:
    """New clients of both doors are served."""
    async with GrpcClient(f"127.0.0.1:{rig.receiver.grpc_port}") as client:
        assert (await client.export(REQUEST, timeout_s=10)).code is grpc.StatusCode.OK
    async with HttpClient(f"http://127.0.0.1:{rig.receiver.http_port}") as client:
        assert (await client.post(REQUEST)).status == 200


@pytest.mark.parametrize("sent", [b"", HEAD], ids=["nothing", "half a header"])
async def test_http_closes_who_does_not_send_a_header(sent: bytes) -> None:
    """After read_header_timeout the connection is closed and counted; meanwhile others
    are served."""
    async with receiver_rig(http={"read_header_timeout": "300ms"}) as rig:
        async with connections(rig.receiver.http_port, 3) as slow:
            for one in slow:
                one.send(sent)
            await served(rig)
            for one in slow:
                assert await ended(one) == b""
        assert rig.metrics.value(CLOSED, reason="slow_header") == 3
        assert rig.counts("http") == Counts(accepted_spans=1, success=1)


async def test_who_sent_a_header_in_time_is_not_closed() -> None:
    """The limit is that of the header, not of the request or the connection."""
    async with receiver_rig(http={"read_header_timeout": "200ms"}) as rig:
        assert (await rig.http.post(REQUEST)).status == 200
        await asyncio.sleep(0.4)
        assert (await rig.http.post(REQUEST)).status == 200
        assert rig.metrics.value(CLOSED, reason="slow_header") == 0
        assert rig.metrics.value("tailring_receiver_connections", transport="http") == 1


async def test_http_answers_who_does_not_send_its_body() -> None:
    """After read_timeout the answer is 408, counted as a failure."""
    async with (
        receiver_rig(http={"read_timeout": "300ms"}) as rig,
        connections(rig.receiver.http_port, 1) as (slow,),
    ):
        slow.send(HEAD + b"Content-Length: 100\r\nConnection: close\r\n\r\nab")
        await served(rig)
        said = await asyncio.get_running_loop().sock_recv(slow, 65_536)
        assert said.startswith(b"HTTP/1.1 408")
        assert rig.counts("http") == Counts(accepted_spans=1, success=1, failure=1)


async def test_grpc_answers_who_does_not_send_its_message() -> None:
    """After read_timeout a call without its message is DEADLINE_EXCEEDED, and counted;
    clients send again then."""
    async with receiver_rig(grpc={"read_timeout": "300ms"}) as rig:
        call: grpc.aio.StreamUnaryMultiCallable[bytes, bytes]
        call = rig.grpc.channel.stream_unary(EXPORT_TRACES)
        waiting: grpc.aio.StreamUnaryCall[bytes, bytes] = call()
        await served(rig)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await waiting
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert rig.counts("grpc") == Counts(accepted_spans=1, success=1, failure=1)


async def test_a_client_that_leaves_before_its_message_is_no_timeout() -> None:
    """It is a failure like any request that broke off."""
    async with receiver_rig(grpc={"read_timeout": "60s"}) as rig:
        call: grpc.aio.StreamUnaryMultiCallable[bytes, bytes]
        call = rig.grpc.channel.stream_unary(EXPORT_TRACES)
        waiting: grpc.aio.StreamUnaryCall[bytes, bytes] = call()
        await waiting.wait_for_connection()
        await asyncio.sleep(0.1)
        waiting.cancel()
        await rig.wait_counts("grpc", Counts(failure=1))
        await served(rig)


async def test_grpc_keeps_only_so_many_unfinished_messages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a process that has grown too large only as many calls wait for their message
    as there is room for; the others are UNAVAILABLE, counted, and others are served."""
    size = 100 << 20
    monkeypatch.setattr("tailring_otlpio.grpc_server.resident_bytes", lambda: size)
    settings = ReceiverSettings(bytes_in_flight_max=70 << 20)
    keys = {"max_recv_msg_size_mib": 1}
    async with receiver_rig(grpc=keys, settings=settings) as rig:
        call: grpc.aio.StreamUnaryMultiCallable[bytes, bytes]
        call = rig.grpc.channel.stream_unary(EXPORT_TRACES)
        waiting: list[grpc.aio.StreamUnaryCall[bytes, bytes]]
        waiting = [call() for _ in range(90)]
        await asyncio.sleep(2.5)
        assert not any(one.done() for one in waiting)
        size = 171 << 20
        await until(lambda: sum(one.done() for one in waiting) == 20)
        await served(rig)
        codes = [await one.code() for one in waiting if one.done()]
        assert codes == [grpc.StatusCode.UNAVAILABLE] * 20
        assert rig.counts("grpc") == Counts(accepted_spans=1, success=1, refused=20)
        for one in waiting:
            one.cancel()


@pytest.mark.parametrize("door", ["grpc", "http"])
async def test_connections_beyond_the_limit_are_closed(door: str) -> None:
    """max_connections is how many there are; those that are open go on."""
    keys: dict[str, Any] = {door: {"max_connections": 5}}
    async with receiver_rig(**keys) as rig:
        own = rig.grpc.export if door == "grpc" else rig.http.post
        await own(REQUEST)
        async with (
            connections(port_of(rig, door), 20) as opened,
            asyncio.TaskGroup() as group,
        ):
            tasks = [group.create_task(ended(one)) for one in opened]
            await until(lambda: sum(task.done() for task in tasks) >= 16)
            await own(REQUEST)
            for task in tasks:
                task.cancel()
        if door == "http":
            assert rig.metrics.value(CLOSED, reason="too_many") == 16


@pytest.mark.parametrize("door", ["grpc", "http"])
async def test_idle_connections_keep_nobody_out(door: str) -> None:
    """With a thousand connections on which nothing is said, others are served."""
    with descriptors(4 * IDLE):
        async with (
            receiver_rig() as rig,
            connections(port_of(rig, door), IDLE) as opened,
        ):
            for one in opened if door == "grpc" else []:
                one.send(PREFACE)
            await served(rig)


@pytest.mark.parametrize("door", ["grpc", "http"])
async def test_tls_handshakes_that_stall_keep_nobody_out(
    tmp_path: Path, door: str
) -> None:
    """A hundred clients that say nothing, or nonsense, do not hold up the others."""
    authority = Authority(tmp_path)
    keys: dict[str, Any] = {"tls": authority.issue("server").keys()}
    tls = ClientTls(authority.ca_file)
    async with (
        receiver_rig(grpc=keys, http=keys, tls=tls) as rig,
        connections(port_of(rig, door), 100) as opened,
    ):
        for one in opened[:50]:
            one.send(b"\x16\x03\x01")
        for one in opened[50:]:
            one.send(b"GET / HTTP/1.1\r\n\r\n")
        assert (await rig.grpc.export(REQUEST)).code is grpc.StatusCode.OK
        assert (await rig.http.post(REQUEST)).status == 200
