"""The trace client against a real gRPC server with scripted answers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from tailring_otlpio import OtlpClient, OtlpClientConfig
from tailring_pipeline import Refused, Rejected
from tailring_testkit import otlp
from tailring_testkit.backend import Answer, Backend, partial_success
from tailring_testkit.receiver_rig import until
from tailring_testkit.tcp_proxy import TcpProxy

Code = grpc.StatusCode
ONE = otlp.request(otlp.span(b"t" * 16, b"s" * 8))


def config(**keys: Any) -> OtlpClientConfig:
    """A client configuration with these keys."""
    return OtlpClientConfig.model_validate({"tls": {"insecure": True}, **keys})


@asynccontextmanager
async def connected(
    backend: Backend, keys: Mapping[str, Any] | None = None
) -> AsyncIterator[OtlpClient]:
    """A client of a started backend."""
    client = OtlpClient(backend.address, config(**(keys or {})))
    try:
        yield client
    finally:
        await client.close()


@pytest.mark.parametrize("compression", ["gzip", "none", ""])
async def test_payloads_arrive_unchanged(compression: str) -> None:
    """The backend gets the bytes that were exported, compressed or not."""
    async with (
        Backend() as backend,
        connected(backend, {"compression": compression}) as client,
    ):
        assert await client.export(ONE, timeout_s=5) is None
        assert backend.received == [ONE]


async def test_a_large_request_arrives() -> None:
    """There is no limit of ours on what is sent: 8,192 spans arrive in one request."""
    payload = otlp.realistic_request(8192, seed=3)
    async with Backend() as backend, connected(backend) as client:
        await client.export(payload, timeout_s=20)
        assert backend.received == [payload]


async def test_headers_and_metadata_are_sent() -> None:
    """Configured headers and those of one call stand in the request's metadata."""
    headers = {"X-Tenant": "a", "k-bin": "é"}
    async with Backend() as backend, connected(backend, {"headers": headers}) as client:
        await client.export(ONE, timeout_s=5, metadata=(("ring-bin", b"\x00\x01"),))
        sent = dict(backend.metadata[0])
        assert sent["x-tenant"] == "a"
        assert sent["k-bin"] == "é".encode()
        assert sent["ring-bin"] == b"\x00\x01"


async def test_the_user_agent_is_sent() -> None:
    """user_agent stands in front of the library's own."""
    async with (
        Backend() as backend,
        connected(backend, {"user_agent": "tailring/1"}) as client,
    ):
        await client.export(ONE, timeout_s=5)
        agent = dict(backend.metadata[0])["user-agent"]
        assert isinstance(agent, str)
        assert agent.startswith("tailring/1 ")


@pytest.mark.parametrize(
    ("answer", "reason", "retry_after_s"),
    [
        (Answer(Code.UNAVAILABLE, "busy"), "unavailable", 0.0),
        (Answer(Code.UNAVAILABLE, "busy", retry_after_s=2.5), "unavailable", 2.5),
        (Answer(Code.RESOURCE_EXHAUSTED, retry_after_s=2.0), "throttled", 2.0),
        (Answer(Code.RESOURCE_EXHAUSTED, retry_after_s=0.0), "throttled", 0.0),
        (Answer(Code.ABORTED), "aborted", 0.0),
        (Answer(Code.DATA_LOSS), "data_loss", 0.0),
        (Answer(Code.CANCELLED), "cancelled", 0.0),
        (Answer(Code.DEADLINE_EXCEEDED), "deadline", 0.0),
    ],
)
async def test_retryable_answers_are_refusals(
    answer: Answer, reason: str, retry_after_s: float
) -> None:
    """A retryable answer raises Refused with its reason and the delay it asks for."""
    async with Backend(answer) as backend, connected(backend) as client:
        with pytest.raises(Refused) as refused:
            await client.export(ONE, timeout_s=5)
        assert refused.value.reason == reason
        assert refused.value.retry_after_s == retry_after_s


@pytest.mark.parametrize(
    "code",
    [
        Code.UNKNOWN,
        Code.INVALID_ARGUMENT,
        Code.PERMISSION_DENIED,
        Code.UNAUTHENTICATED,
        Code.UNIMPLEMENTED,
        Code.INTERNAL,
        Code.RESOURCE_EXHAUSTED,
    ],
)
async def test_final_answers_are_rejections(code: grpc.StatusCode) -> None:
    """A final answer raises Rejected with the code's name and the backend's words."""
    async with (
        Backend(Answer(code, "because")) as backend,
        connected(backend) as client,
    ):
        with pytest.raises(Rejected) as rejected:
            await client.export(ONE, timeout_s=5)
        assert rejected.value.reason == code.name.lower()
        assert rejected.value.detail == f"{code.name}: because"


async def test_a_slow_backend_is_a_deadline() -> None:
    """A backend that does not answer in time is refused with the reason deadline."""
    async with Backend(Answer(delay_s=5)) as backend, connected(backend) as client:
        with pytest.raises(Refused) as refused:
            await client.export(ONE, timeout_s=0.2)
        assert refused.value.reason == "deadline"


async def test_a_backend_that_is_away_is_unreachable() -> None:
    """A connection that is refused is the reason unreachable, not unavailable."""
    backend = await Backend().start()
    await backend.stop()
    async with connected(backend) as client:
        with pytest.raises(Refused) as refused:
            await client.export(ONE, timeout_s=5)
        assert refused.value.reason == "unreachable"
        assert not client.connected()


async def test_a_backend_that_never_accepts_is_unreachable() -> None:
    """Running out of time before there is a connection is the reason unreachable."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        client = OtlpClient(f"127.0.0.1:{listener.getsockname()[1]}", config())
        with pytest.raises(Refused) as refused:
            await client.export(ONE, timeout_s=0.3)
        await client.close()
        assert refused.value.reason == "unreachable"


async def test_a_connection_that_breaks_is_unreachable() -> None:
    """A request whose connection is cut has the reason unreachable."""
    async with Backend() as backend, TcpProxy(backend.port) as proxy:
        client = OtlpClient(proxy.address, config())
        backend.hold()
        async with asyncio.TaskGroup() as group:
            call = group.create_task(_reason(client))
            await backend.wait_requests(1)
            proxy.cut()
        assert call.result() == "unreachable"
        await client.close()


async def _reason(client: OtlpClient) -> str:
    try:
        await client.export(ONE, timeout_s=10)
    except (Refused, Rejected) as error:
        return error.reason
    return ""


async def test_a_backend_that_comes_back_is_found_again() -> None:
    """After a restart on the same port requests succeed within a few seconds."""
    async with Backend() as backend, connected(backend) as client:
        await client.export(ONE, timeout_s=5)
        await backend.stop()
        assert await _reason(client) == "unreachable"
        await backend.start()
        async with asyncio.timeout(10):
            while await _reason(client):  # noqa: ASYNC110 - this is the question
                await asyncio.sleep(0.05)
        assert backend.received == [ONE, ONE]


async def test_waiting_for_a_connection_is_configurable() -> None:
    """With wait_for_ready a request waits for a backend that is still starting."""
    backend = await Backend().start()
    await backend.stop()
    async with connected(backend, {"wait_for_ready": True}) as client:
        async with asyncio.TaskGroup() as group:
            group.create_task(client.export(ONE, timeout_s=10))
            await asyncio.sleep(0.2)
            await backend.start()
        assert backend.received == [ONE]
    await backend.stop()


async def test_partial_success_returns_what_was_rejected() -> None:
    """A partial success is a success; how many spans were rejected and why is
    returned, the backend's words cut to a bound."""
    async with (
        Backend(partial_success(7, "too old" + "!" * 5000)) as backend,
        connected(backend) as client,
    ):
        partial = await client.export(ONE, timeout_s=5)
        assert partial is not None
        assert (partial.items, partial.detail[:8]) == (7, "too old!")
        assert len(partial.detail) == 1000


async def test_partial_successes_are_logged_with_the_backends_words() -> None:
    """One line stands for many, with the reason that the backend gave."""
    with capture_logs() as logs:
        async with (
            Backend(partial_success(7, "too old")) as backend,
            connected(backend) as client,
        ):
            for _ in range(3):
                await client.export(ONE, timeout_s=5)
    assert [line["event"] for line in logs] == ["Partial success response"] * 2
    assert {line["error"] for line in logs} == {"too old"}
    assert sum(line["items"] for line in logs) == 21


@pytest.mark.parametrize("response", [b"\xff\xff", b"\x0a\x00"])
async def test_odd_responses_are_successes(response: bytes) -> None:
    """A response that cannot be read, or an empty partial success, is a success."""
    async with (
        Backend(Answer(response=response)) as backend,
        connected(backend) as client,
    ):
        assert await client.export(ONE, timeout_s=5) is None


async def test_a_cancelled_caller_cancels_nothing() -> None:
    """When the caller is cancelled, the request that is on its way still arrives."""
    async with Backend() as backend, connected(backend) as client:
        backend.hold()
        loop = asyncio.get_running_loop()
        caller = loop.create_task(client.export(ONE, timeout_s=10))
        await backend.wait_requests(1)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        backend.release()
        await backend.wait_received(1)
        assert backend.received == [ONE]


async def test_closing_refuses_requests_in_flight() -> None:
    """A request that is in flight when the client closes raises Refused."""
    async with Backend() as backend, connected(backend) as client:
        backend.hold()
        async with asyncio.TaskGroup() as group:
            call = group.create_task(_reason(client))
            await backend.wait_requests(1)
            await client.close()
        assert call.result() == "closed"


async def test_many_requests_are_in_flight_at_once() -> None:
    """One client carries a hundred requests at the same time."""
    async with Backend() as backend, connected(backend) as client:
        backend.hold()
        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(client.export(ONE, timeout_s=20))
            await backend.wait_requests(100)
            assert backend.in_flight == 100
            backend.release()


async def test_a_client_can_connect_before_its_first_request() -> None:
    """connect_nowait begins a connection that connected() then reports."""
    async with Backend() as backend, connected(backend) as client:
        assert not client.connected()
        client.connect_nowait()
        await until(client.connected)


@pytest.mark.parametrize("form", ["{}", "http://{}", "http://{}/", "dns:///{}"])
async def test_endpoints_may_be_written_in_several_forms(form: str) -> None:
    """host:port, http:// and dns:/// all reach the backend."""
    async with Backend() as backend:
        client = OtlpClient(form.format(f"localhost:{backend.port}"), config())
        assert await client.export(ONE, timeout_s=10) is None
        await client.close()


@pytest.mark.parametrize("balancer", ["round_robin", "pick_first", ""])
async def test_balancers_reach_the_backend(balancer: str) -> None:
    """Every balancer that may be configured delivers."""
    async with (
        Backend() as backend,
        connected(backend, {"balancer_name": balancer}) as client,
    ):
        assert await client.export(ONE, timeout_s=5) is None


async def test_a_flapping_backend_is_told_answer_by_answer() -> None:
    """Each request has its own outcome: ok, refused, ok, refused."""
    async with Backend() as backend, connected(backend) as client:
        backend.script([Answer(), Answer(Code.UNAVAILABLE)] * 2)
        reasons = [await _reason(client) for _ in range(4)]
        assert reasons == ["", "unavailable", "", "unavailable"]
