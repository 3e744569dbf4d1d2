"""Logs and metrics are answered as by the collector, and the same comes out.

As `test_receiver_parity` does it for traces; what the rows of its tables say of JSON
and protobuf holds here too, under the names that the bodies have for these signals.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from grpc import StatusCode
from tests.interop.rows import JSON_ROWS, METRICS_ROWS, answers_of

from tailring_pipeline import Signal
from tailring_testkit import odd_signals, servers
from tailring_testkit.otlp_clients import JSON
from tailring_testkit.parity import Pair, pair
from tailring_testkit.signals import EXPORT, PATHS, request_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

BODIES = [
    pytest.param(signal, name, id=f"{signal.value}-{name}")
    for signal, bodies in odd_signals.BODIES.items()
    for name in bodies
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """The collector and our router, for all tests of this module."""
    # A key that every item has, also metrics without a service.
    exporter = {"routing_key": "attributes", "routing_attributes": ["n"]}
    folder = tmp_path_factory.mktemp("pair")
    async with pair(folder, exporter=exporter) as running:
        yield running


@pytest.mark.parametrize(("signal", "name"), BODIES)
async def test_json_over_http(both: Pair, signal: Signal, name: str) -> None:
    """A document has the collector's status and content type; its items come out."""
    body = odd_signals.BODIES[signal][name]
    first, second = await both.post(body, content_type=JSON, path=PATHS[signal])
    upstream = (first.status, first.content_type, both.upstream.taken(signal))
    ours = (second.status, second.content_type, both.ours.taken(signal))
    answers = _answers(signal, name)
    if answers is None:
        assert ours == upstream
        return
    assert (first.status, second.status) == answers
    # Without ids, which a point has not, some bodies of traces are good bodies here.
    assert ours != upstream, "no difference any more: take it out of the table"


def _answers(signal: Signal, name: str) -> tuple[int, int] | None:
    own = METRICS_ROWS if signal is Signal.METRICS else {}
    answers = answers_of(own, name) or answers_of(JSON_ROWS, name)
    return None if (signal, name) in _SAME else answers


# Points have no ids and gauges no kinds: what is odd about a span's is unknown there.
_SAME = {
    (Signal.LOGS, "status-code-null"),
    *(
        (Signal.METRICS, name)
        for name in (
            "ids-null",
            "kind-null",
            "status-code-null",
            "bad-utf8",
            "bad-utf8-surrogate",
        )
    ),
}


@pytest.mark.parametrize("signal", Signal)
async def test_requests_over_grpc(both: Pair, signal: Signal) -> None:
    """Good, empty and broken messages of each signal are answered as by the collector:
    bad data is final, whatever its code is called."""
    good = request_of(signal, range(20))
    bodies = (good, b"", good[:-1], b"\xff" * 9, good + good)
    final = {StatusCode.INTERNAL: StatusCode.INVALID_ARGUMENT}
    for body in bodies:
        first, second = await both.export(body, method=EXPORT[signal])
        assert final.get(first.code, first.code) is second.code
        assert both.ours.taken(signal) == both.upstream.taken(signal)


@pytest.mark.parametrize("signal", Signal)
async def test_requests_over_http(both: Pair, signal: Signal) -> None:
    """The same as bodies, and with other methods."""
    good = request_of(signal, range(20))
    for body in (good, b"", good[:-1], b"\xff" * 9, good + good):
        first, second = await both.post(body, path=PATHS[signal])
        assert (first.status, first.content_type) == (
            second.status,
            second.content_type,
        )
        assert both.ours.taken(signal) == both.upstream.taken(signal)
    for method in ("GET", "PUT", "HEAD"):
        upstream = await both.upstream.http.request(method, PATHS[signal])
        ours = await both.ours.http.request(method, PATHS[signal])
        assert (ours.status, ours.body) == (upstream.status, upstream.body)


async def test_the_documentation_has_every_difference() -> None:
    """Each row that a table names stands in docs/compatibility.md, once."""
    document = (servers.repository() / "docs" / "compatibility.md").read_text()
    for row in METRICS_ROWS:
        assert document.count(f"\n| {row} | ") == 1, row
