"""What OTLP/HTTP clients are answered and what is counted, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib

import pytest
from google.rpc.status_pb2 import (  # type: ignore[import-untyped]  # no stubs exist
    Status,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceResponse,
)

from tailring_otlpio import ReceiverSettings
from tailring_pipeline import Refused, Rejected
from tailring_testkit import otlp, otlp_json
from tailring_testkit.otlp_clients import JSON, PROTOBUF
from tailring_testkit.receiver_rig import Counts, receiver_rig, until

MIB = 1 << 20

THREE = otlp.request(
    *(otlp.span(bytes([i]) * 16, b"s" * 8) for i in range(1, 4)),
    resource={"service.name": "shop"},
    scope="lib",
)
THREE_JSON = otlp_json.format_request(THREE).encode()
SHORT_ID = otlp.request(otlp.span(b"t" * 15, b"s" * 8))
OK = Counts(accepted_spans=3, success=1)
FAILURE = Counts(failure=1)


def deep(levels: int) -> bytes:
    """OTLP JSON whose one attribute is an array in an array in an array ..."""
    value = '{"arrayValue":{"values":[' * levels + "]}}" * levels
    attribute = f'{{"key":"k","value":{value}}}'
    return (
        f'{{"resourceSpans":[{{"resource":{{"attributes":[{attribute}]}}}}]}}'.encode()
    )


@pytest.mark.parametrize(
    ("body", "content_type", "encoding", "status", "counts"),
    [
        pytest.param(THREE, PROTOBUF, "", 200, OK, id="proto"),
        pytest.param(THREE, PROTOBUF, "identity", 200, OK, id="identity"),
        pytest.param(gzip.compress(THREE), PROTOBUF, "gzip", 200, OK, id="gzip"),
        pytest.param(zlib.compress(THREE), PROTOBUF, "deflate", 200, OK, id="deflate"),
        pytest.param(zlib.compress(THREE), PROTOBUF, "zlib", 200, OK, id="zlib"),
        pytest.param(
            gzip.compress(THREE[:20]) + gzip.compress(THREE[20:]),
            PROTOBUF,
            "gzip",
            200,
            OK,
            id="two-gzip-members",
        ),
        pytest.param(THREE_JSON, JSON, "", 200, OK, id="json"),
        pytest.param(gzip.compress(THREE_JSON), JSON, "gzip", 200, OK, id="json-gzip"),
        pytest.param(
            THREE_JSON, "application/json; charset=utf-8", "", 200, OK, id="charset"
        ),
        pytest.param(b"", PROTOBUF, "", 200, Counts(success=1), id="empty"),
        pytest.param(b"{}", JSON, "", 200, Counts(success=1), id="empty-json"),
        pytest.param(b"", JSON, "", 400, FAILURE, id="no-json"),
        pytest.param(b"\xff" * 50, PROTOBUF, "", 400, FAILURE, id="garbage"),
        pytest.param(b"\xff" * 50, JSON, "", 400, FAILURE, id="json-garbage"),
        pytest.param(b"[]", JSON, "", 400, FAILURE, id="json-list"),
        pytest.param(b"7", JSON, "", 400, FAILURE, id="json-number"),
        pytest.param(deep(60), JSON, "", 400, FAILURE, id="json-deep"),
        pytest.param(b"[" * 100_000, JSON, "", 400, FAILURE, id="json-very-deep"),
        pytest.param(b"9" * 10_000, JSON, "", 400, FAILURE, id="json-big-number"),
        pytest.param(SHORT_ID, PROTOBUF, "", 400, FAILURE, id="short-trace-id"),
        pytest.param(
            otlp_json.format_request(SHORT_ID).encode(),
            JSON,
            "",
            400,
            FAILURE,
            id="json-short-trace-id",
        ),
        pytest.param(THREE, PROTOBUF, "gzip", 400, FAILURE, id="not-gzip"),
        pytest.param(
            gzip.compress(THREE)[:-3], PROTOBUF, "gzip", 400, FAILURE, id="cut-gzip"
        ),
        pytest.param(b"", PROTOBUF, "gzip", 400, FAILURE, id="empty-gzip"),
        pytest.param(bytes(65 * MIB), PROTOBUF, "", 413, FAILURE, id="65-mib"),
        pytest.param(
            gzip.compress(bytes(256 * MIB), 1),
            PROTOBUF,
            "gzip",
            413,
            FAILURE,
            id="bomb",
        ),
        pytest.param(
            gzip.compress(bytes(256 * MIB), 1),
            JSON,
            "gzip",
            413,
            FAILURE,
            id="json-bomb",
        ),
    ],
)
async def test_what_a_body_is_answered(
    body: bytes, content_type: str, encoding: str, status: int, counts: Counts
) -> None:
    """Each kind of body has its status and counters, and an answer of its own type."""
    async with receiver_rig() as rig:
        reply = await rig.http.post(body, content_type=content_type, encoding=encoding)
        assert reply.status == status, reply.body
        assert reply.content_type == content_type.partition(";")[0]
        assert "retry-after" not in reply.headers
        assert rig.counts("http") == counts
        assert rig.in_flight() == (0, 0)
        assert (await rig.http.post(THREE)).status == 200


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/v1/traces", {}, 405),
        ("PUT", "/v1/traces", {}, 405),
        ("OPTIONS", "/v1/traces", {}, 405),
        ("POST", "/v1/metrics", {"Content-Type": PROTOBUF}, 404),
        ("POST", "/", {"Content-Type": PROTOBUF}, 404),
        ("POST", "/v1/traces", {}, 415),
        ("POST", "/v1/traces", {"Content-Type": "text/plain"}, 415),
        ("POST", "/v1/traces/", {"Content-Type": PROTOBUF}, 404),
        ("POST", "/v1/traces", {"Content-Type": PROTOBUF, "Expect": "x"}, 417),
    ],
)
async def test_requests_that_are_no_exports(
    method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """A wrong method, path, content type or expectation has HTTP's own status."""
    async with receiver_rig() as rig:
        reply = await rig.http.request(method, path, body=b"x", headers=headers)
        assert (reply.status, reply.content_type) == (status, "text/plain")
        failures = 1 if status == 415 else 0
        assert rig.counts("http") == Counts(failure=failures)


@pytest.mark.parametrize("content_type", [PROTOBUF, JSON])
@pytest.mark.parametrize(
    ("answer", "status", "code", "retry_after", "counts"),
    [
        pytest.param(
            Refused("full", "queue full"),
            503,
            14,
            "1",
            Counts(refused_spans=3, refused=1),
            id="refused",
        ),
        pytest.param(
            Refused("full", "queue full", retry_after_s=2.2),
            503,
            14,
            "3",
            Counts(refused_spans=3, refused=1),
            id="refused-with-delay",
        ),
        pytest.param(
            Rejected("bad", "no such tenant"),
            400,
            3,
            None,
            Counts(refused_spans=3, refused=1),
            id="rejected",
        ),
        pytest.param(
            ZeroDivisionError("a bug"),
            503,
            14,
            "1",
            Counts(failed_spans=3, failure=1),
            id="bug",
        ),
    ],
)
async def test_what_a_failure_downstream_is_answered(
    content_type: str,
    answer: Exception,
    status: int,
    code: int,
    retry_after: str | None,
    counts: Counts,
) -> None:
    """An error is a google.rpc.Status in the request's type, retryable ones a 503."""
    body = THREE if content_type == PROTOBUF else THREE_JSON
    async with receiver_rig() as rig:
        rig.sink.fail(answer)
        reply = await rig.http.post(body, content_type=content_type)
        assert (reply.status, reply.content_type) == (status, content_type)
        assert reply.headers.get("retry-after") == retry_after
        if content_type == PROTOBUF:
            assert Status.FromString(reply.body).code == code
        else:
            assert json.loads(reply.body)["code"] == code
        assert rig.counts("http") == counts


async def test_json_errors_carry_their_retry_info() -> None:
    """The Status of a JSON answer has the RetryInfo among its details."""
    async with receiver_rig() as rig:
        rig.sink.refuse("full", retry_after_s=2.5)
        reply = await rig.http.post(THREE_JSON, content_type=JSON)
        assert json.loads(reply.body) == {
            "code": 14,
            "message": "sink: full",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.RetryInfo",
                    "retryDelay": "2.500s",
                }
            ],
        }


async def test_partly_rejected_is_a_partial_success() -> None:
    """Rejected with fewer items than the batch is 200 with rejected spans."""
    async with receiver_rig() as rig:
        rig.sink.reject(items=2)
        proto = await rig.http.post(THREE)
        as_json = await rig.http.post(THREE_JSON, content_type=JSON)
        partial = ExportTraceServiceResponse.FromString(proto.body).partial_success
        assert (proto.status, partial.rejected_spans) == (200, 2)
        assert json.loads(as_json.body) == {
            "partialSuccess": {"rejectedSpans": "2", "errorMessage": "sink: bad"}
        }
        assert rig.counts("http") == Counts(2, 4, 0, success=2)


async def test_full_success_is_an_empty_message() -> None:
    """A full success has no bytes as protobuf and is {} as JSON."""
    async with receiver_rig() as rig:
        assert (await rig.http.post(THREE)).body == b""
        assert (await rig.http.post(THREE_JSON, content_type=JSON)).body == b"{}"


async def test_large_bodies_of_both_types_are_taken() -> None:
    """8,192 spans arrive as one batch, as protobuf and as JSON, span for span equal."""
    payload = otlp.realistic_request(8192, seed=2)
    body = gzip.compress(otlp_json.format_request(payload).encode(), 1)
    async with receiver_rig() as rig:
        assert (await rig.http.post(payload)).status == 200
        reply = await rig.http.post(body, content_type=JSON, encoding="gzip")
        assert reply.status == 200
        first, second = rig.sink.batches
        assert first.payload == payload
        assert otlp.spans_of(first.payload) == otlp.spans_of(second.payload)


async def test_a_body_larger_than_configured_is_413() -> None:
    """max_request_body_size limits what a body inflates to, not only what is sent."""
    async with receiver_rig(http={"max_request_body_size": 1000}) as rig:
        assert (await rig.http.post(bytes(1001))).status == 413
        packed = gzip.compress(bytes(1001))
        assert (await rig.http.post(packed, encoding="gzip")).status == 413
        assert (await rig.http.post(THREE)).status == 200


async def test_too_many_requests_are_refused_at_the_door() -> None:
    """Beyond the limit of requests in flight the answer is 503 with Retry-After."""
    async with receiver_rig(settings=ReceiverSettings(requests_in_flight_max=1)) as rig:
        rig.sink.hold()
        async with asyncio.TaskGroup() as group:
            first = group.create_task(rig.http.post(THREE))
            await rig.sink.wait_in_flight(1)
            second = await rig.http.post(THREE)
            rig.sink.release()
        assert (second.status, second.headers["retry-after"]) == (503, "1")
        assert first.result().status == 200
        assert rig.counts("http").refused == 1


async def test_a_draining_receiver_refuses() -> None:
    """After close a request is 503 with Retry-After, and counted as refused."""
    async with receiver_rig() as rig:
        await rig.http.post(THREE)
        rig.receiver.close()
        reply = await rig.http.post(THREE)
        assert (reply.status, reply.headers["retry-after"]) == (503, "1")
        assert rig.counts("http") == Counts(3, 3, 0, success=1, refused=1)


async def test_a_client_that_leaves_takes_back_what_it_sent() -> None:
    """When the client gives up, whoever held its batch is cancelled and can withdraw
    it, and the spans count as refused."""
    async with receiver_rig() as rig:
        rig.sink.hold()
        call = asyncio.get_running_loop().create_task(rig.http.post(THREE))
        await rig.sink.wait_in_flight(1)
        call.cancel()
        await rig.wait_counts("http", Counts(refused_spans=3, refused=1))
        assert rig.sink.cancelled == 1
        assert rig.in_flight() == (0, 0)


async def test_a_slow_body_times_out() -> None:
    """A body that does not arrive within read_timeout is 408 and a failure."""
    async with receiver_rig(http={"read_timeout": 50_000_000}) as rig:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", rig.receiver.http_port
        )
        writer.write(
            b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
            b"Content-Type: application/x-protobuf\r\n\r\nabc"
        )
        assert b" 408 " in await reader.readline()
        writer.close()
        await writer.wait_closed()
        assert rig.counts("http") == FAILURE
        assert rig.in_flight() == (0, 0)


async def test_a_body_that_breaks_off_is_a_failure() -> None:
    """A connection that ends within a body leaves nothing in flight behind."""
    async with receiver_rig() as rig:
        _, writer = await asyncio.open_connection("127.0.0.1", rig.receiver.http_port)
        writer.write(
            b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
            b"Content-Type: application/x-protobuf\r\n\r\nabc"
        )
        await until(lambda: rig.in_flight() == (1, 3))
        writer.close()
        await writer.wait_closed()
        await rig.wait_counts("http", FAILURE)
        assert rig.in_flight() == (0, 0)


async def test_the_path_is_configurable() -> None:
    """traces_url_path moves the endpoint, and the usual path is 404 then."""
    async with receiver_rig(http={"traces_url_path": "/custom"}) as rig:
        assert (await rig.http.post(THREE, path="/custom")).status == 200
        assert (await rig.http.post(THREE)).status == 404


async def test_encodings_are_configurable() -> None:
    """An encoding that compression_algorithms does not name is 415, with the list."""
    async with receiver_rig(http={"compression_algorithms": ["gzip"]}) as rig:
        refused = await rig.http.post(zlib.compress(THREE), encoding="zlib")
        assert (refused.status, refused.headers["accept-encoding"]) == (
            415,
            "gzip, x-gzip",
        )
        assert (
            await rig.http.post(gzip.compress(THREE), encoding="gzip")
        ).status == 200


async def test_response_headers_are_added() -> None:
    """response_headers stand in every answer, errors included."""
    async with receiver_rig(http={"response_headers": {"X-Tier": "1"}}) as rig:
        assert (await rig.http.post(THREE)).headers["x-tier"] == "1"
        assert (await rig.http.post(THREE, path="/no")).headers["x-tier"] == "1"


async def test_keep_alives_can_be_switched_off() -> None:
    """With keep_alives_enabled false the server closes after each answer."""
    async with receiver_rig(http={"keep_alives_enabled": False}) as rig:
        assert (await rig.http.post(THREE)).headers["connection"] == "close"
    async with receiver_rig() as rig:
        assert "connection" not in (await rig.http.post(THREE)).headers
