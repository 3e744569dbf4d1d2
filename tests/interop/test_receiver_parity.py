"""Clients are answered by our receiver as by the collector's, and the same comes out.

The same request goes to the collector and to our router with that collector behind it
(see `tailring_testkit.parity`): answers and spans are compared. Where they differ on
purpose, the tables below hold both answers and name the row of docs/compatibility.md
that says why, so a difference that goes away fails as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from grpc import StatusCode
from tests.interop.rows import JSON_ROWS, Rows, answers_of

from tailring_testkit import odd_grpc, odd_http, odd_json, odd_protobuf, otlp, servers
from tailring_testkit.odd_grpc import RawGrpc, raw_grpc
from tailring_testkit.otlp_clients import JSON, PROTOBUF
from tailring_testkit.parity import ItemText, Pair, pair

pytestmark = pytest.mark.asyncio(loop_scope="module")

_PROTOBUF: Rows = {
    "protobuf that is spelt too long": {
        "field-number-above": (200, 400),
        "tag-of-six-bytes": (200, 400),
        "size-of-six-bytes": (200, 400),
        "varint-above-64-bits": (200, 400),
    },
}

_HTTP: Rows = {
    "HTTP: Content-Type": {
        "type-broken-parameter": (415, 200),
        "type-twice": (200, 400),
    },
    "HTTP: names of encodings": {
        "gzip-upper": (400, 200),
        "x-gzip": (400, 200),
        "identity": (400, 200),
    },
    "HTTP: an unknown encoding": {
        "gzip-gzip": (400, 415),
        "brotli": (400, 415),
        "encoding-unknown": (400, 415),
        "encoding-unknown-json": (400, 415),
        "encoding-and-type-unknown": (500, 415),
    },
    "HTTP: bytes after a zlib stream": {
        "deflate-trailing": (200, 400),
        "deflate-two-requests": (200, 200),
    },
    "HTTP: unknown methods": {
        "method-unknown": (405, 400),
        "method-lower": (405, 400),
        "options-of-the-server": (200, 404),
    },
    "HTTP: paths": {
        "path-fragment": (404, 200),
        "path-escaped-slash": (404, 200),
        "path-double-slash": (307, 307),
        "path-slash-inside": (307, 307),
        "path-dots": (307, 307),
    },
    "HTTP: size of headers": {
        "header-100k": (200, 400),
        "header-2m": (431, 400),
        "headers-2000": (200, 400),
    },
    "HTTP: framing": {
        "http-1.2": (200, 400),
        "length-twice": (200, 400),
        "chunked-and-length": (200, 400),
        "chunked-broken": (400, 400),
        "transfer-gzip": (501, 400),
        "transfer-unknown": (501, 400),
        "line-feeds-only": (200, 400),
        "leading-line": (400, 200),
        "header-folded": (200, 400),
        "http-2-preface": (400, 400),
        "expect-unknown": (417, 417),
    },
}

_RESET = -1  # the stream was reset, there is no code

_GRPC: Rows = {
    "gRPC: headers that no gRPC client sends": {
        "type-of-http": (3, 0),
        "type-text": (3, 0),
        "type-missing": (3, 0),
        "type-web": (3, 0),
        "no-te": (0, _RESET),
        "get": (13, _RESET),
        "put": (13, _RESET),
        "timeout-malformed": (13, 13),
        "timeout-of-nine-digits": (13, 0),
        "metadata-binary-malformed": (13, 13),
        "flag-2": (13, 0),
    },
    "gRPC: calls that break off": {
        "no-message": (2, 3),
        "message-cut": (2, 3),
        "prefix-cut": (2, 3),
        "size-beyond": (2, 3),
    },
    "compression of requests": {
        "deflate": (12, 0),
        "zstd": (0, 13),
        "encoding-unknown": (12, 13),
        "gzip-members": (0, 13),
    },
}

_TABLES = (_PROTOBUF, JSON_ROWS, _HTTP, _GRPC)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one of the two made of a request."""

    answer: int
    details: object
    spans: list[ItemText]


def _judge(pinned: tuple[int, int] | None, *, upstream: Seen, ours: Seen) -> None:
    """The two are the same, or differ in exactly the way that was written down."""
    if pinned is None:
        assert ours == upstream
        return
    assert (upstream.answer, ours.answer) == pinned
    assert ours != upstream, "no difference any more: take it out of the table"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """The collector and our router, for all tests of this module."""
    async with pair(tmp_path_factory.mktemp("pair")) as running:
        yield running


async def _post(both: Pair, body: bytes, content_type: str) -> tuple[Seen, Seen]:
    first, second = await both.post(body, content_type=content_type)
    return (
        Seen(first.status, first.content_type, both.upstream.taken()),
        Seen(second.status, second.content_type, both.ours.taken()),
    )


@pytest.mark.parametrize("name", odd_protobuf.BODIES)
async def test_protobuf_over_http(both: Pair, name: str) -> None:
    """A body has the collector's status and content type, and its spans come out."""
    upstream, ours = await _post(both, odd_protobuf.BODIES[name], PROTOBUF)
    _judge(answers_of(_PROTOBUF, name), upstream=upstream, ours=ours)


@pytest.mark.parametrize("name", odd_json.BODIES)
async def test_json_over_http(both: Pair, name: str) -> None:
    """A document has the collector's status and content type; its spans come out."""
    upstream, ours = await _post(both, odd_json.BODIES[name], JSON)
    _judge(answers_of(JSON_ROWS, name), upstream=upstream, ours=ours)


# The collector calls bad data INTERNAL; both are final.
_CODES = {
    StatusCode.INTERNAL: 400,
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.OK: 200,
}


@pytest.mark.parametrize("name", odd_protobuf.BODIES)
async def test_protobuf_over_grpc(both: Pair, name: str) -> None:
    """A message is taken or refused as by the collector; bad is INVALID_ARGUMENT."""
    first, second = await both.export(odd_protobuf.BODIES[name])
    upstream = Seen(_CODES[first.code], first.retry_after_s, both.upstream.taken())
    ours = Seen(_CODES[second.code], second.retry_after_s, both.ours.taken())
    assert second.code is not StatusCode.INTERNAL
    _judge(answers_of(_PROTOBUF, name), upstream=upstream, ours=ours)


@pytest.mark.parametrize("name", odd_protobuf.BODIES)
async def test_gzip_over_grpc(both: Pair, name: str) -> None:
    """Compression changes no answer."""
    body, client = odd_protobuf.BODIES[name], both.ours.grpc
    plain = Seen(0, await client.export(body), both.ours.taken())
    zipped = Seen(0, await client.export(body, gzip=True), both.ours.taken())
    assert plain == zipped


@pytest.mark.parametrize("name", odd_http.REQUESTS)
async def test_http(both: Pair, name: str) -> None:
    """A request on a bare socket has the collector's status, type and spans, and the
    connection is kept or closed as by the collector."""
    request = odd_http.REQUESTS[name]
    first, second = await asyncio.gather(
        odd_http.exchange(both.upstream.http_port, request),
        odd_http.exchange(both.ours.http_port, request),
    )
    seen = [
        Seen(one.replies[0].status, (one.replies[0].content_type, one.closed), spans)
        for one, spans in (
            (first, both.upstream.taken()),
            (second, both.ours.taken()),
        )
    ]
    _judge(answers_of(_HTTP, name), upstream=seen[0], ours=seen[1])


async def test_pipelined_requests(both: Pair) -> None:
    """Requests sent without waiting are answered in their order."""
    bodies = (odd_http.post(), odd_http.post(b"\xff"), odd_http.post(b""))
    for side in (both.upstream, both.ours):
        got = await odd_http.exchange(side.http_port, b"".join(bodies), replies=3)
        assert [reply.status for reply in got.replies] == [200, 400, 200]
        assert not got.closed
        assert len(side.taken()) == 1


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bare(both: Pair) -> AsyncIterator[tuple[RawGrpc, RawGrpc]]:
    """Clients that send any HTTP/2 request to the collector and to our router."""
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(raw_grpc(both.upstream.grpc_port)),
            await stack.enter_async_context(raw_grpc(both.ours.grpc_port)),
        )


@pytest.mark.parametrize("name", odd_grpc.CALLS)
async def test_grpc(both: Pair, bare: tuple[RawGrpc, RawGrpc], name: str) -> None:
    """A call over bare HTTP/2 has the collector's HTTP status, code and spans."""
    call = odd_grpc.CALLS[name]
    answers = await asyncio.gather(*(client.call(call) for client in bare))
    seen = [
        Seen(_RESET if one.code is None else one.code, one.http_status, spans)
        for one, spans in zip(
            answers, (both.upstream.taken(), both.ours.taken()), strict=True
        )
    ]
    if name == "garbage":
        assert [one.answer for one in seen] == [13, 3]
        return
    _judge(answers_of(_GRPC, name), upstream=seen[0], ours=seen[1])


async def test_a_client_that_waits_to_go_on(both: Pair) -> None:
    """With ``Expect: 100-continue`` both ask for the body, then answer."""
    head, _, body = odd_http.post().partition(b"\r\n\r\n")
    for side in (both.upstream, both.ours):
        reader, writer = await asyncio.open_connection("127.0.0.1", side.http_port)
        writer.write(head + b"\r\nExpect: 100-continue\r\n\r\n")
        async with asyncio.timeout(10):
            assert (
                await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            )
            writer.write(body)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        assert len(side.taken()) == 1


async def test_many_at_once(both: Pair) -> None:
    """200 requests at once over both protocols all succeed, and each arrives once."""
    ids = otlp.trace_ids(200, seed=1)
    bodies = [otlp.request(otlp.span(trace_id, b"s" * 8)) for trace_id in ids]
    for side in (both.upstream, both.ours):
        half = len(bodies) // 2
        over_grpc = (side.grpc.export(body) for body in bodies[:half])
        over_http = (side.http.post(body) for body in bodies[half:])
        grpc_replies, http_replies = await asyncio.gather(
            asyncio.gather(*over_grpc), asyncio.gather(*over_http)
        )
        assert {reply.code for reply in grpc_replies} == {StatusCode.OK}
        assert {reply.status for reply in http_replies} == {200}
        arrived = otlp.spans_of(b"".join(side.backend.received))
        side.taken()
        assert sorted(record.trace_id for record in arrived) == sorted(ids)


async def test_a_deadline_of_one_millisecond(tmp_path: Path) -> None:
    """A client that waits a millisecond is told to retry, and the next is served."""
    hasty = {StatusCode.DEADLINE_EXCEEDED, StatusCode.CANCELLED, StatusCode.OK}
    async with pair(tmp_path) as own:  # what is on its way may come out at any time
        for side in (own.upstream, own.ours):
            body = odd_protobuf.BODIES["value-1-mib"]
            replies = [await side.grpc.export(body, timeout_s=0.001) for _ in range(9)]
            assert {reply.code for reply in replies} <= hasty
            assert (await side.grpc.export(odd_protobuf.GOOD)).code is StatusCode.OK


async def test_messages_at_the_limit(both: Pair) -> None:
    """Beyond its limit, 4 MiB there and 64 MiB here, each says RESOURCE_EXHAUSTED."""
    for side, mib in ((both.upstream, 4), (both.ours, 64)):
        name = "x" * ((mib << 20) + 1)
        reply = await side.grpc.export(
            otlp.request(otlp.span(b"t" * 16, b"s" * 8, name=name))
        )
        assert (reply.code, reply.retry_after_s) == (
            StatusCode.RESOURCE_EXHAUSTED,
            None,
        )
        assert not side.taken()


async def test_the_documentation_has_every_difference() -> None:
    """Each row that a table names stands in docs/compatibility.md, once."""
    document = (servers.repository() / "docs" / "compatibility.md").read_text()
    for table in _TABLES:
        for row in table:
            assert document.count(f"\n| {row} | ") == 1, row
