"""What OTLP/gRPC clients are answered and what is counted, over real sockets."""

from __future__ import annotations

import asyncio
from collections import Counter

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceResponse,
)

from tailring_otlpio import ReceiverSettings
from tailring_pipeline import Refused, Rejected
from tailring_testkit import otlp
from tailring_testkit.backend import EXPORT_TRACES
from tailring_testkit.otlp_clients import GrpcReply
from tailring_testkit.receiver_rig import Counts, receiver_rig

Code = grpc.StatusCode
MIB = 1 << 20

THREE = otlp.request(*(otlp.span(bytes([i]) * 16, b"s" * 8) for i in range(1, 4)))
EMPTY_ENVELOPE = otlp.request(otlp.resource_spans([], resource={"service.name": "x"}))
SHORT_TRACE_ID = otlp.request(otlp.span(b"t" * 15, b"s" * 8))
LONG_SPAN_ID = otlp.request(otlp.span(b"t" * 16, b"s" * 9))


def padded(nbytes: int) -> bytes:
    """A valid request of exactly ``nbytes`` bytes with one span in it."""
    base = otlp.request(otlp.span(b"t" * 16, b"s" * 8))
    # An unknown length-delimited field of the request: tag, four bytes of length.
    length = nbytes - len(base) - 5
    varint = bytes(
        ((length >> (7 * i)) & 0x7F) | (0x80 if i < 3 else 0) for i in range(4)
    )
    return base + bytes([15 << 3 | 2]) + varint + bytes(length)


@pytest.mark.parametrize(
    ("payload", "code", "counts"),
    [
        pytest.param(THREE, Code.OK, Counts(accepted_spans=3, success=1), id="spans"),
        pytest.param(b"", Code.OK, Counts(success=1), id="empty"),
        pytest.param(EMPTY_ENVELOPE, Code.OK, Counts(success=1), id="no-spans"),
        pytest.param(
            b"\xff" * 50, Code.INVALID_ARGUMENT, Counts(failure=1), id="garbage"
        ),
        pytest.param(
            THREE[:-1], Code.INVALID_ARGUMENT, Counts(failure=1), id="truncated"
        ),
        pytest.param(
            SHORT_TRACE_ID, Code.INVALID_ARGUMENT, Counts(failure=1), id="trace-id"
        ),
        pytest.param(
            LONG_SPAN_ID, Code.INVALID_ARGUMENT, Counts(failure=1), id="span-id"
        ),
        pytest.param(
            padded(65 * MIB), Code.RESOURCE_EXHAUSTED, Counts(failure=1), id="65-mib"
        ),
        pytest.param(
            padded(64 * MIB), Code.OK, Counts(accepted_spans=1, success=1), id="64-mib"
        ),
        pytest.param(
            bytes(81 * MIB), Code.RESOURCE_EXHAUSTED, Counts(failure=1), id="81-mib"
        ),
    ],
)
async def test_what_a_request_is_answered(
    payload: bytes, code: grpc.StatusCode, counts: Counts
) -> None:
    """Each kind of request has its status code and its counters, and no RetryInfo."""
    async with receiver_rig() as rig:
        reply = await rig.grpc.export(payload)
        assert (reply.code, reply.retry_after_s) == (code, None)
        assert rig.counts("grpc") == counts
        assert rig.in_flight() == (0, 0)
        after = await rig.grpc.export(THREE)
        assert after == GrpcReply(Code.OK)


async def test_a_gzip_bomb_is_stopped_and_counted() -> None:
    """A bomb of 256 MiB is RESOURCE_EXHAUSTED, is counted, and the rest is unharmed."""
    async with receiver_rig() as rig:
        reply = await rig.grpc.export(bytes(256 * MIB), gzip=True)
        assert (reply.code, reply.retry_after_s) == (Code.RESOURCE_EXHAUSTED, None)
        assert rig.counts("grpc") == Counts(failure=1)
        assert (await rig.grpc.export(THREE, gzip=True)).code is Code.OK


async def test_malformed_requests_are_told_the_offset() -> None:
    """The answer to a malformed request names the byte at which it is wrong."""
    async with receiver_rig() as rig:
        reply = await rig.grpc.export(b"\x0a\x05ab")
        assert "at byte 1" in reply.details


@pytest.mark.parametrize(
    ("answer", "reply", "counts"),
    [
        pytest.param(
            Refused("full", "the queue is full"),
            GrpcReply(Code.UNAVAILABLE, "the queue is full", 1.0),
            Counts(refused_spans=3, refused=1),
            id="refused",
        ),
        pytest.param(
            Refused("full", "the queue is full", retry_after_s=2.5),
            GrpcReply(Code.UNAVAILABLE, "the queue is full", 2.5),
            Counts(refused_spans=3, refused=1),
            id="refused-with-delay",
        ),
        pytest.param(
            Rejected("bad", "no such tenant"),
            GrpcReply(Code.INVALID_ARGUMENT, "no such tenant"),
            Counts(refused_spans=3, refused=1),
            id="rejected",
        ),
        pytest.param(
            Rejected("bad", "all three", items=3),
            GrpcReply(Code.INVALID_ARGUMENT, "all three"),
            Counts(refused_spans=3, refused=1),
            id="all-items-rejected",
        ),
        pytest.param(
            ZeroDivisionError("a bug"),
            GrpcReply(Code.UNAVAILABLE, "internal error, see the log", 1.0),
            Counts(failed_spans=3, failure=1),
            id="bug",
        ),
    ],
)
async def test_what_a_failure_downstream_is_answered(
    answer: Exception, reply: GrpcReply, counts: Counts
) -> None:
    """Refused is retryable with RetryInfo, Rejected final, a bug retryable."""
    async with receiver_rig() as rig:
        rig.sink.fail(answer)
        assert await rig.grpc.export(THREE) == reply
        assert rig.counts("grpc") == counts
        assert rig.in_flight() == (0, 0)


async def test_partly_rejected_is_a_partial_success() -> None:
    """Rejected with fewer items than the batch is OK with rejected_spans."""
    async with receiver_rig() as rig:
        rig.sink.reject(items=2)
        reply = await rig.grpc.export(THREE)
        partial = ExportTraceServiceResponse.FromString(reply.response).partial_success
        assert reply.code is Code.OK
        assert (partial.rejected_spans, partial.error_message) == (2, "sink: bad")
        assert rig.counts("grpc") == Counts(1, 2, 0, success=1)


async def test_full_success_is_an_empty_response() -> None:
    """A full success leaves partial_success unset, so the response has no bytes."""
    async with receiver_rig() as rig:
        assert (await rig.grpc.export(THREE)).response == b""


async def test_payloads_reach_the_pipeline_unchanged() -> None:
    """The consumer gets the bytes that were sent, gzip or not, and their count."""
    async with receiver_rig() as rig:
        await rig.grpc.export(THREE)
        await rig.grpc.export(THREE, gzip=True)
        assert [b.payload for b in rig.sink.batches] == [THREE, THREE]
        assert [b.items for b in rig.sink.batches] == [3, 3]


async def test_a_large_batch_is_taken_whole() -> None:
    """A request of 8,192 spans is one batch."""
    payload = otlp.realistic_request(8192, seed=1)
    async with receiver_rig() as rig:
        assert (await rig.grpc.export(payload, gzip=True)).code is Code.OK
        assert [b.items for b in rig.sink.batches] == [8192]


@pytest.mark.parametrize(
    "method",
    [
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        "/opentelemetry.proto.collector.trace.v1.TraceService/Other",
    ],
)
async def test_other_methods_are_unimplemented(method: str) -> None:
    """Whatever is not the export of traces is UNIMPLEMENTED, and not counted."""
    async with receiver_rig() as rig:
        assert (await rig.grpc.export(THREE, method=method)).code is Code.UNIMPLEMENTED
        assert rig.counts("grpc") == Counts()


async def test_too_many_requests_are_refused_at_the_door() -> None:
    """Beyond the limit of requests in flight the answer is UNAVAILABLE + RetryInfo."""
    async with receiver_rig(settings=ReceiverSettings(requests_in_flight_max=1)) as rig:
        rig.sink.hold()
        async with asyncio.TaskGroup() as group:
            first = group.create_task(rig.grpc.export(THREE))
            await rig.sink.wait_in_flight(1)
            second = await rig.grpc.export(THREE)
            assert (second.code, second.retry_after_s) == (Code.UNAVAILABLE, 1.0)
            assert rig.in_flight() == (1, len(THREE))
            rig.sink.release()
        assert first.result().code is Code.OK
        assert rig.counts("grpc") == Counts(3, 3, 0, success=1, refused=1)


async def test_a_burst_of_calls_is_answered_by_the_receiver_alone() -> None:
    """Of 2,500 calls at once the 500 that have room are held and taken, each other one
    is UNAVAILABLE with RetryInfo, and all of them are counted."""
    settings = ReceiverSettings(requests_in_flight_max=500)
    async with receiver_rig(settings=settings) as rig:
        rig.sink.hold()
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(rig.grpc.export(THREE)) for _ in range(2500)]
            turned_away = Counts(refused_spans=3 * 2000, refused=2000)
            await rig.wait_counts("grpc", turned_away, timeout_s=60)
            rig.sink.release()
        answers = Counter((c.result().code, c.result().retry_after_s) for c in calls)
        assert answers == {(Code.OK, None): 500, (Code.UNAVAILABLE, 1.0): 2000}
        assert rig.counts("grpc") == Counts(1500, 6000, 0, success=500, refused=2000)


async def test_too_many_bytes_are_refused_at_the_door() -> None:
    """Beyond the limit of bytes in flight the answer is UNAVAILABLE + RetryInfo."""
    settings = ReceiverSettings(bytes_in_flight_max=0)
    small = {"max_recv_msg_size_mib": 1}
    tiny = {"max_request_body_size": 1}
    async with receiver_rig(grpc=small, http=tiny, settings=settings) as rig:
        rig.sink.hold()
        async with asyncio.TaskGroup() as group:
            group.create_task(rig.grpc.export(padded(MIB)))
            await rig.sink.wait_in_flight(1)
            second = await rig.grpc.export(THREE)
            rig.sink.release()
        assert (second.code, second.retry_after_s) == (Code.UNAVAILABLE, 1.0)
        assert (await rig.grpc.export(THREE)).code is Code.OK


async def test_a_draining_receiver_refuses() -> None:
    """After close a request is UNAVAILABLE with RetryInfo, and counted as refused."""
    async with receiver_rig() as rig:
        await rig.grpc.export(THREE)
        rig.receiver.close()
        reply = await rig.grpc.export(THREE)
        assert (reply.code, reply.retry_after_s) == (Code.UNAVAILABLE, 1.0)
        assert rig.counts("grpc") == Counts(3, 3, 0, success=1, refused=1)


@pytest.mark.parametrize(
    ("payload", "spans"),
    [
        pytest.param(SHORT_TRACE_ID, 1, id="trace-id"),
        pytest.param(THREE[:-1], 0, id="truncated"),
        pytest.param(b"\xff" * 50, 0, id="garbage"),
    ],
)
async def test_nothing_is_looked_at_that_is_not_let_in(
    payload: bytes, spans: int
) -> None:
    """A malformed request is refused like any other at the door: nobody has looked."""
    async with receiver_rig() as rig:
        rig.receiver.close()
        assert (await rig.grpc.export(payload)).code is Code.UNAVAILABLE
        assert rig.counts("grpc") == Counts(refused_spans=spans, refused=1)


async def test_a_drain_lets_requests_in_flight_finish() -> None:
    """A request that was in flight when the drain began is answered OK."""
    async with receiver_rig() as rig:
        rig.sink.hold()
        async with asyncio.TaskGroup() as group:
            call = group.create_task(rig.grpc.export(THREE))
            await rig.sink.wait_in_flight(1)
            rig.receiver.close()
            drained = group.create_task(rig.receiver.join(10.0))
            await asyncio.sleep(0.05)
            assert not drained.done()
            rig.sink.release()
        assert call.result().code is Code.OK


async def test_a_drain_ends_at_its_deadline() -> None:
    """What is still in flight at the end of the drain is cut, retryable and counted."""
    async with receiver_rig() as rig:
        rig.sink.hold()
        async with asyncio.TaskGroup() as group:
            call = group.create_task(rig.grpc.export(THREE))
            await rig.sink.wait_in_flight(1)
            rig.receiver.close()
            await rig.receiver.join(0.1)
            await rig.receiver.terminate()
        assert call.result().code is Code.UNAVAILABLE
        assert rig.counts("grpc") == Counts(refused_spans=3, refused=1)
        assert rig.sink.cancelled == 1


async def test_a_client_that_leaves_takes_back_what_it_sent() -> None:
    """When the client gives up, whoever held its batch is cancelled and can withdraw
    it, and the spans count as refused."""
    async with receiver_rig() as rig:
        rig.sink.hold()
        async with asyncio.TaskGroup() as group:
            call = group.create_task(rig.grpc.export(THREE, timeout_s=0.2))
            await rig.sink.wait_in_flight(1)
            assert (await call).code is Code.DEADLINE_EXCEEDED
        await rig.wait_counts("grpc", Counts(refused_spans=3, refused=1))
        assert rig.sink.cancelled == 1
        assert rig.in_flight() == (0, 0)


async def test_a_message_that_never_comes_is_a_failure() -> None:
    """A call that is cancelled before its message arrived counts as a failure."""
    async with receiver_rig() as rig:
        stub: grpc.aio.StreamUnaryMultiCallable[bytes, bytes]
        stub = rig.grpc.channel.stream_unary(EXPORT_TRACES)
        call = stub()
        await call.wait_for_connection()
        await asyncio.sleep(0.1)
        call.cancel()
        await rig.wait_counts("grpc", Counts(failure=1))


async def test_a_call_that_ends_without_a_message_is_malformed() -> None:
    """A client that half-closes before its message is told so, not that all is well."""
    async with receiver_rig() as rig:
        stub: grpc.aio.StreamUnaryMultiCallable[bytes, bytes]
        stub = rig.grpc.channel.stream_unary(EXPORT_TRACES)
        call = stub()
        await call.done_writing()
        assert await call.code() is Code.INVALID_ARGUMENT
        assert "before its message was complete" in (await call.details() or "")
        assert rig.counts("grpc") == Counts(failure=1)
