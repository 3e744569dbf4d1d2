"""Pings: what a client sends and what a server tolerates, over real sockets."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import grpc
import pytest

from tailring_otlpio import OtlpClient, OtlpClientConfig
from tailring_pipeline import Refused
from tailring_testkit import otlp
from tailring_testkit.otlp_clients import GrpcClient
from tailring_testkit.receiver_rig import ReceiverRig, receiver_rig
from tailring_testkit.tcp_proxy import TcpProxy

PLAIN = OtlpClientConfig.model_validate({"tls": {"insecure": True}})

MS = 1_000_000
ONE = otlp.request(otlp.span(b"t" * 16, b"s" * 8))

# HTTP/2 by hand: the client's preface, empty settings, a ping.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
PING = bytes([0, 0, 8, 6, 0, 0, 0, 0, 0]) + b"pingping"
GOAWAY = 7


async def sends_goaway(port: int, *, pings: int, interval_s: float) -> bool:
    """Whether the server ends an idle connection that pings so often."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(PREFACE)
    async with asyncio.TaskGroup() as group:
        seen = group.create_task(_frame_types(reader, acks=pings))
        for _ in range(pings):
            writer.write(PING)
            await asyncio.sleep(interval_s)
    writer.transport.abort()
    return GOAWAY in seen.result()


async def _frame_types(reader: asyncio.StreamReader, *, acks: int) -> list[int]:
    """Frame types up to the last answer to a ping, or up to GOAWAY."""
    seen: list[int] = []
    async with asyncio.timeout(10):
        while seen.count(6) < acks and GOAWAY not in seen:
            header = await reader.readexactly(9)
            (length,) = struct.unpack(">I", b"\x00" + header[:3])
            await reader.readexactly(length)
            seen.append(header[3])
    return seen


def policy(**keys: Any) -> dict[str, Any]:
    """A gRPC server block with this enforcement policy."""
    return {"keepalive": {"enforcement_policy": keys}}


async def test_pings_as_often_as_permitted_are_tolerated() -> None:
    """A client that pings no more often than min_time keeps its connection."""
    async with receiver_rig(grpc=policy(min_time=20 * MS)) as rig:
        port = rig.receiver.grpc_port
        assert not await sends_goaway(port, pings=10, interval_s=0.04)


async def test_pings_oftener_than_permitted_end_the_connection() -> None:
    """By default a client that pings all the time is sent away."""
    async with receiver_rig() as rig:
        port = rig.receiver.grpc_port
        assert await sends_goaway(port, pings=10, interval_s=0.02)


async def test_idle_pings_can_be_forbidden() -> None:
    """With permit_without_stream false an idle client may not ping at all."""
    keys = {"min_time": 20 * MS, "permit_without_stream": False}
    async with receiver_rig(grpc=policy(**keys)) as rig:
        port = rig.receiver.grpc_port
        assert await sends_goaway(port, pings=10, interval_s=0.04)


async def test_a_held_call_survives_the_pings_of_its_client() -> None:
    """A call that takes long is answered OK although its client pings meanwhile."""
    options = (
        ("grpc.keepalive_time_ms", 100),
        ("grpc.http2.max_pings_without_data", 0),
    )
    async with receiver_rig(grpc=policy(min_time=50 * MS)) as rig:
        address = f"127.0.0.1:{rig.receiver.grpc_port}"
        async with GrpcClient(address, options=options) as client:
            assert await _held(rig, client, seconds=2.0) is grpc.StatusCode.OK


async def _held(
    rig: ReceiverRig, client: GrpcClient, *, seconds: float
) -> grpc.StatusCode:
    rig.sink.hold()
    async with asyncio.TaskGroup() as group:
        call = group.create_task(client.export(ONE))
        await rig.sink.wait_in_flight(1)
        await asyncio.sleep(seconds)
        rig.sink.release()
    return call.result().code


async def test_a_client_notices_a_dead_peer() -> None:
    """With keepalive a connection whose peer is silent breaks after its timeout."""
    keepalive = {"time": 200 * MS, "timeout": 300 * MS}
    config = OtlpClientConfig.model_validate(
        {"tls": {"insecure": True}, "keepalive": keepalive}
    )
    loop = asyncio.get_running_loop()
    async with receiver_rig() as rig, TcpProxy(rig.receiver.grpc_port) as proxy:
        client = OtlpClient(proxy.address, config)
        await client.export(ONE, timeout_s=5)
        proxy.muted = True
        started_s = loop.time()
        with pytest.raises(Refused) as refused:
            await client.export(ONE, timeout_s=20)
        took_s = loop.time() - started_s
        await client.close()
        assert refused.value.reason == "unreachable"
        assert took_s < 10


async def test_connections_end_at_their_age() -> None:
    """max_connection_age makes clients reconnect, and no request is lost by it."""
    parameters = {"max_connection_age": 200 * MS, "max_connection_age_grace": 5000 * MS}
    keepalive = {"server_parameters": parameters}
    async with (
        receiver_rig(grpc={"keepalive": keepalive}) as rig,
        TcpProxy(rig.receiver.grpc_port) as proxy,
    ):
        client = OtlpClient(proxy.address, PLAIN)
        sent = 0
        while proxy.connections < 2 and sent < 500:
            await client.export(ONE, timeout_s=5)
            sent += 1
            await asyncio.sleep(0.02)
        await client.close()
        assert proxy.connections == 2
        assert rig.sink.items == sent
