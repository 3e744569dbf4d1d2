"""The receiver as a stage: start, health, drain, and where it listens."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from grpc_health.v1 import (  # type: ignore[import-untyped]  # stubs are not pinned
    health_pb2,
    health_pb2_grpc,
)

from tailring_otlpio import OtlpReceiver, OtlpReceiverConfig, ReceiverSettings
from tailring_pipeline import Signal
from tailring_runtime.errors import StartError
from tailring_runtime.metrics import Metrics
from tailring_testkit import otlp, wire
from tailring_testkit.otlp_clients import GrpcClient, HttpClient
from tailring_testkit.receiver_rig import ReceiverRig, receiver_rig
from tailring_testkit.sink import Sink

ONE = otlp.request(otlp.span(b"t" * 16, b"s" * 8))
TRACE_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def build(
    protocols: dict[str, Any], *, settings: ReceiverSettings | None = None
) -> OtlpReceiver:
    """A receiver that was not started."""
    config = OtlpReceiverConfig.model_validate({"protocols": protocols})
    consumers = {Signal.TRACES: Sink()}
    return OtlpReceiver(
        config, consumers=consumers, metrics=Metrics(), settings=settings
    )


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_a_port_in_use_is_a_start_error(protocol: str) -> None:
    """A port that another process has is named in the error, and nothing stays open."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = f"127.0.0.1:{taken.getsockname()[1]}"
        receiver = build({protocol: {"endpoint": endpoint}})
        with pytest.raises(StartError, match=endpoint):
            await receiver.start()


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_two_receivers_cannot_share_a_port(protocol: str) -> None:
    """Without reuse_port a second receiver on the same port does not start."""
    first = build({protocol: {"endpoint": "127.0.0.1:0"}})
    await first.start()
    port = first.grpc_port or first.http_port
    second = build({protocol: {"endpoint": f"127.0.0.1:{port}"}})
    with pytest.raises(StartError):
        await second.start()
    await first.terminate()


async def test_workers_can_share_their_ports() -> None:
    """With reuse_port two receivers listen on the same ports."""
    settings = ReceiverSettings(reuse_port=True)
    free = {"endpoint": "127.0.0.1:0"}
    first = build({"grpc": free, "http": free}, settings=settings)
    await first.start()
    same = {
        "grpc": {"endpoint": f"127.0.0.1:{first.grpc_port}"},
        "http": {"endpoint": f"127.0.0.1:{first.http_port}"},
    }
    second = build(same, settings=settings)
    await second.start()
    await first.terminate()
    await second.terminate()


async def test_a_failed_start_closes_the_other_port() -> None:
    """When HTTP cannot listen, the gRPC port is free again after the error."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        http = f"127.0.0.1:{taken.getsockname()[1]}"
        receiver = build(
            {"grpc": {"endpoint": "127.0.0.1:0"}, "http": {"endpoint": http}}
        )
        with pytest.raises(StartError):
            await receiver.start()
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", receiver.grpc_port))


async def test_a_host_that_does_not_exist_is_a_start_error() -> None:
    """An address that is not ours, or a name without one, is a start error."""
    for endpoint in ("192.0.2.1:0", "no.such.host.invalid:4318"):
        with pytest.raises(StartError):
            await build({"http": {"endpoint": endpoint}}).start()


@pytest.mark.parametrize("endpoint", ["localhost:0", ":0", "0.0.0.0:0"])
async def test_usual_endpoints_listen(endpoint: str) -> None:
    """localhost and the forms of all interfaces are reachable on 127.0.0.1."""
    block = {"endpoint": endpoint}
    receiver = build({"grpc": block, "http": block})
    await receiver.start()
    async with (
        GrpcClient(f"127.0.0.1:{receiver.grpc_port}") as over_grpc,
        HttpClient(f"http://127.0.0.1:{receiver.http_port}") as over_http,
    ):
        assert (await over_grpc.export(ONE)).code is grpc.StatusCode.OK
        assert (await over_http.post(ONE)).status == 200
    await receiver.terminate()


async def test_unix_sockets_listen(tmp_path: Path) -> None:
    """With transport unix both servers listen on the path of a socket."""
    paths = {name: str(tmp_path / name) for name in ("grpc", "http")}
    receiver = build(
        {name: {"endpoint": path, "transport": "unix"} for name, path in paths.items()}
    )
    await receiver.start()
    async with GrpcClient(f"unix:{paths['grpc']}") as client:
        assert (await client.export(ONE)).code is grpc.StatusCode.OK
    connector = aiohttp.UnixConnector(paths["http"])
    headers = {"Content-Type": "application/x-protobuf"}
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.post("http://x/v1/traces", data=ONE, headers=headers) as answer,
    ):
        assert answer.status == 200
    await receiver.terminate()


async def test_a_unix_path_that_cannot_be_is_a_start_error(tmp_path: Path) -> None:
    """A socket in a folder that does not exist is a start error."""
    path = str(tmp_path / "missing" / "socket")
    with pytest.raises(StartError):
        await build({"http": {"endpoint": path, "transport": "unix"}}).start()


async def _health(rig: ReceiverRig, service: str) -> int:
    stub = health_pb2_grpc.HealthStub(rig.grpc.channel)
    request = health_pb2.HealthCheckRequest(service=service)
    answer = await stub.Check(request, timeout=5)
    status: int = answer.status
    return status


@pytest.mark.parametrize("service", ["", TRACE_SERVICE])
async def test_grpc_health_follows_readiness(service: str) -> None:
    """grpc.health.v1 answers SERVING while ready, and not before and after."""
    async with receiver_rig() as rig:
        assert await _health(rig, service) == SERVING
        rig.receiver.set_ready(False)
        await asyncio.sleep(0)
        assert await _health(rig, service) == NOT_SERVING
        rig.receiver.set_ready(True)
        await asyncio.sleep(0)
        assert await _health(rig, service) == SERVING
        rig.receiver.close()
        await asyncio.sleep(0)
        assert await _health(rig, service) == NOT_SERVING
        rig.receiver.set_ready(True)
        await asyncio.sleep(0)
        assert await _health(rig, service) == NOT_SERVING


async def test_a_started_receiver_is_not_serving_until_it_is_ready() -> None:
    """Before the first set_ready the health service answers NOT_SERVING."""
    receiver = build({"grpc": {"endpoint": "127.0.0.1:0"}})
    await receiver.start()
    async with GrpcClient(f"127.0.0.1:{receiver.grpc_port}") as client:
        stub = health_pb2_grpc.HealthStub(client.channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert answer.status == NOT_SERVING
    await receiver.terminate()


async def test_unknown_services_have_no_health() -> None:
    """The health of a service that is not served is NOT_FOUND."""
    async with receiver_rig() as rig:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await _health(rig, "no.such.Service")
        assert error.value.code() is grpc.StatusCode.NOT_FOUND


async def test_health_watchers_hear_of_a_drain() -> None:
    """A watcher of the health service is told when the receiver closes."""
    async with receiver_rig() as rig:
        stub = health_pb2_grpc.HealthStub(rig.grpc.channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING
        rig.receiver.close()
        assert (await watch.read()).status == NOT_SERVING
        watch.cancel()


async def test_close_and_terminate_are_safe_twice() -> None:
    """Closing and terminating twice, and without a start, does nothing more."""
    block = {"endpoint": "127.0.0.1:0"}
    never_started = build({"grpc": block, "http": block})
    for receiver in (never_started, build({"grpc": block, "http": block})):
        if receiver is not never_started:
            await receiver.start()
        for _ in range(2):
            receiver.close()
            await receiver.join(0.1)
        for _ in range(2):
            await receiver.terminate()
        receiver.set_ready(True)


async def test_an_idle_drain_is_quick() -> None:
    """A drain with nothing in flight does not wait for its deadline."""
    async with receiver_rig() as rig:
        await rig.grpc.export(ONE)
        await rig.http.post(ONE)
        started_s = asyncio.get_running_loop().time()
        rig.receiver.close()
        await rig.receiver.join(20.0)
        await rig.receiver.terminate()
        assert asyncio.get_running_loop().time() - started_s < 3.0


async def test_after_the_drain_nobody_is_let_in() -> None:
    """After join new connections are refused on both ports."""
    async with receiver_rig() as rig:
        rig.receiver.close()
        await rig.receiver.join(1.0)
        for port in (rig.receiver.grpc_port, rig.receiver.http_port):
            with pytest.raises(OSError, match="Connect"):
                await asyncio.open_connection("127.0.0.1", port)


async def test_spans_of_old_clients_reach_the_pipeline() -> None:
    """Spans in the field that OTLP had before 0.15 are taken and counted."""
    new = otlp.request(otlp.span(b"t" * 16, b"s" * 8), scope="library")
    (_, _, resource_spans), *_ = wire.split_fields(new)
    (_, _, scope_spans), *_ = wire.split_fields(resource_spans or b"")
    old = wire.field(1, wire.field(1000, scope_spans or b""))
    async with receiver_rig() as rig:
        assert (await rig.grpc.export(old)).code is grpc.StatusCode.OK
        assert rig.counts("grpc").accepted_spans == 1
        assert otlp.spans_of(rig.sink.payload) == otlp.spans_of(new)
