"""The forwarder: coalescing, retry, isolation, handing back, closing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tailring_pipeline import ExporterMetrics, Refused, Rejected, RetryConfig
from tailring_router.forwarder import Forwarder, ForwarderSettings
from tailring_router.metrics import RouterMetrics
from tailring_router.part import Outcome, Part, Result
from tailring_runtime.metrics import Metrics
from tailring_testkit.client import ScriptedClient

Make = Callable[..., Forwarder]
RETRY = RetryConfig(initial_interval=1_000_000, max_interval=1_000_000)
SLOW_RETRY = RetryConfig(initial_interval=60_000_000_000, max_interval=60_000_000_000)
NO_RETRY = RetryConfig(enabled=False)


@pytest.fixture
def client() -> ScriptedClient:
    return ScriptedClient()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def make(client: ScriptedClient, metrics: Metrics) -> AsyncIterator[Make]:
    made: list[Forwarder] = []

    def build(**settings: Any) -> Forwarder:
        forwarder = Forwarder(
            "b:1",
            client,
            settings=ForwarderSettings(**{"retry": RETRY} | settings),
            metrics=RouterMetrics(metrics, "lb").backend("b:1"),
        )
        made.append(forwarder)
        return forwarder

    yield build
    for forwarder in made:
        await forwarder.close()


def _part(payload: bytes = b"p", spans: int = 1) -> Part:
    return Part(payload, spans, address="b:1")


async def _within(awaitable: Awaitable[Result]) -> Result:
    async with asyncio.timeout(10):
        return await awaitable


async def test_an_idle_forwarder_delivers_at_once(
    make: Make, client: ScriptedClient
) -> None:
    """A part given to an idle forwarder is sent without lingering."""
    forwarder = make(linger_s=3600.0)
    part = _part()
    forwarder.offer(part)
    assert (await _within(part.result)).outcome is Outcome.DELIVERED
    assert client.delivered == [b"p"]


async def test_parts_offered_together_are_one_request(
    make: Make, client: ScriptedClient
) -> None:
    """Parts of one turn of the event loop are joined by concatenation."""
    forwarder = make()
    parts = [_part(b"a"), _part(b"b"), _part(b"c")]
    for part in parts:
        forwarder.offer(part)
    for part in parts:
        await _within(part.result)
    assert client.delivered == [b"abc"]


async def test_under_load_parts_are_gathered(
    make: Make, client: ScriptedClient
) -> None:
    """While a request is in flight, what comes next waits for company."""
    forwarder = make(linger_s=0.02)
    client.hold()
    first = _part(b"1")
    forwarder.offer(first)
    await client.wait_tried(1)
    later = [_part(b"2"), _part(b"3")]
    forwarder.offer(later[0])
    await asyncio.sleep(0)
    forwarder.offer(later[1])
    await client.wait_tried(2)
    client.release()
    for part in [first, *later]:
        await _within(part.result)
    assert client.delivered == [b"1", b"23"]


async def test_enough_bytes_are_not_kept_waiting(
    make: Make, client: ScriptedClient
) -> None:
    """A gathered size at the target is sent although the linger has not passed."""
    forwarder = make(linger_s=3600.0, gather_bytes=10)
    client.hold()
    forwarder.offer(_part(b"1"))
    await client.wait_tried(1)
    forwarder.offer(_part(b"x" * 11))
    await client.wait_tried(2)
    client.release()


async def test_no_more_requests_in_flight_than_allowed(
    make: Make, client: ScriptedClient
) -> None:
    """`sends_max` bounds the requests in flight."""
    forwarder = make(sends_max=2, linger_s=0.0, request_bytes_max=1)
    client.hold()
    parts = [_part(b"x") for _ in range(5)]
    for part in parts:
        forwarder.offer(part)
    await client.wait_tried(2)
    client.release()
    for part in parts:
        await _within(part.result)
    assert client.in_flight_max == 2


async def test_a_passing_failure_is_retried(make: Make, client: ScriptedClient) -> None:
    """A refused request is sent again until it is delivered."""
    client.script([Refused("unavailable", "busy"), Refused("unavailable", "busy")])
    forwarder = make()
    part = _part()
    forwarder.offer(part)
    assert (await _within(part.result)).outcome is Outcome.DELIVERED
    assert len(client.tried) == 3


async def test_without_retry_a_failure_is_final(
    make: Make, client: ScriptedClient, metrics: Metrics
) -> None:
    """With retry off the part fails with the backend's reason and is counted."""
    client.answer = Refused("throttled", "slow down", retry_after_s=2.0)
    forwarder = make(retry=NO_RETRY)
    part = _part(spans=7)
    forwarder.offer(part)
    result = await _within(part.result)
    assert (result.outcome, result.reason) == (Outcome.FAILED, "throttled")
    assert result.retry_after_s == 2.0
    failed = metrics.value("otelcol_exporter_send_failed_spans", exporter="lb/b:1")
    assert failed == 7


async def test_no_retry_begins_after_the_deadline(
    make: Make, client: ScriptedClient
) -> None:
    """A part whose deadline passed fails instead of waiting for another try."""
    client.answer = Refused("unavailable", "busy")
    forwarder = make()
    part = Part(b"p", 1, address="b:1", deadline_ns=1)
    forwarder.offer(part)
    assert (await _within(part.result)).outcome is Outcome.FAILED
    assert len(client.tried) == 1


async def test_one_bad_part_does_not_take_the_others_with_it(
    make: Make, client: ScriptedClient
) -> None:
    """A joined request that is refused for good is sent again part by part."""
    bad = Rejected("invalid_argument", "bad bytes")
    client.script([bad, None, bad, None])
    forwarder = make()
    parts = [_part(b"a"), _part(b"b"), _part(b"c")]
    for part in parts:
        forwarder.offer(part)
    outcomes = [(await _within(part.result)).outcome for part in parts]
    assert outcomes == [Outcome.DELIVERED, Outcome.REJECTED, Outcome.DELIVERED]
    assert client.delivered == [b"a", b"c"]


async def test_partial_success_is_charged_to_the_parts(
    make: Make, client: ScriptedClient, metrics: Metrics
) -> None:
    """Spans that a backend did not take are counted once over the joined parts."""
    client.script([3])
    forwarder = make()
    parts = [_part(b"a", spans=2), _part(b"b", spans=2)]
    for part in parts:
        forwarder.offer(part)
    results = [await _within(part.result) for part in parts]
    assert [r.rejected for r in results] == [2, 1]
    assert metrics.value("otelcol_exporter_sent_spans", exporter="lb/b:1") == 1


async def test_an_abandoned_part_is_not_sent(
    make: Make, client: ScriptedClient
) -> None:
    """A part whose sender went away while it was queued never leaves."""
    forwarder = make()
    gone, stays = _part(b"gone"), _part(b"stays")
    forwarder.offer(gone)
    forwarder.offer(stays)
    gone.result.cancel()
    await _within(stays.result)
    assert client.delivered == [b"stays"]


async def test_an_unreachable_backend_is_suspected_until_it_answers(
    make: Make, client: ScriptedClient
) -> None:
    """Suspicion begins with a failed connection and ends with a delivery."""
    client.script([Refused("unreachable", "connection refused")])
    forwarder = make()
    part = _part()
    forwarder.offer(part)
    await client.wait_tried(1)
    await asyncio.sleep(0)
    assert forwarder.suspected
    await _within(part.result)
    assert not forwarder.suspected


async def test_handing_back_moves_what_waits_for_a_retry(
    make: Make, client: ScriptedClient
) -> None:
    """A part between two tries is moved at once when the ring changes."""
    client.answer = Refused("unreachable", "connection refused")
    forwarder = make(retry=SLOW_RETRY)
    part = _part()
    forwarder.offer(part)
    await client.wait_tried(1)
    await asyncio.sleep(0)
    forwarder.hand_back()
    assert (await _within(part.result)).outcome is Outcome.MOVED


async def test_what_is_in_flight_is_not_moved_before_its_fate_is_known(
    make: Make, client: ScriptedClient
) -> None:
    """A request in flight when the ring changes and then delivered was delivered."""
    forwarder = make()
    client.hold()
    part = _part()
    forwarder.offer(part)
    await client.wait_tried(1)
    forwarder.hand_back()
    client.release()
    assert (await _within(part.result)).outcome is Outcome.DELIVERED


async def test_a_success_wakes_those_that_wait(
    make: Make, client: ScriptedClient
) -> None:
    """A delivery ends the backoff of other requests to the same backend."""
    client.script([Refused("unreachable", "down"), None])
    forwarder = make(retry=SLOW_RETRY, linger_s=0.0)
    waiting = _part(b"1")
    forwarder.offer(waiting)
    await client.wait_tried(1)
    second = _part(b"2")
    forwarder.offer(second)
    assert (await _within(second.result)).outcome is Outcome.DELIVERED
    assert (await _within(waiting.result)).outcome is Outcome.DELIVERED


async def test_retiring_sends_what_is_held(make: Make, client: ScriptedClient) -> None:
    """A removed backend is still sent what it was given, then the client closes."""
    forwarder = make()
    part = _part()
    forwarder.offer(part)
    await forwarder.retire(5.0)
    assert part.result.result().outcome is Outcome.DELIVERED
    assert client.closed


async def test_retiring_moves_what_cannot_be_sent(
    make: Make, client: ScriptedClient
) -> None:
    """What a removed backend does not take is handed back without waiting."""
    client.answer = Refused("unreachable", "gone")
    forwarder = make(retry=SLOW_RETRY)
    part = _part()
    forwarder.offer(part)
    await client.wait_tried(1)
    await forwarder.retire(5.0)
    assert part.result.result().outcome is Outcome.MOVED


async def test_a_retired_forwarder_moves_new_parts(make: Make) -> None:
    """A part that comes too late is resolved as moved."""
    forwarder = make()
    await forwarder.retire(1.0)
    part = _part()
    forwarder.offer(part)
    assert part.result.result().outcome is Outcome.MOVED
    assert forwarder.full


async def test_closing_fails_what_is_held(make: Make, client: ScriptedClient) -> None:
    """Nothing is left unresolved by a close, and a second close does nothing."""
    forwarder = make(sends_max=1, linger_s=0.0, request_bytes_max=1)
    client.hold()
    parts = [_part(), _part()]
    for part in parts:
        forwarder.offer(part)
    await client.wait_tried(1)
    await forwarder.close()
    await forwarder.close()
    reasons = {part.result.result().reason for part in parts}
    assert reasons == {"shutdown"}
    assert forwarder.held_spans == 0


async def test_an_unexpected_error_of_a_client_fails_the_part(
    make: Make, client: ScriptedClient
) -> None:
    """A client that breaks its contract leaves nobody waiting."""
    client.answer = RuntimeError("a bug")
    forwarder = make()
    part = _part()
    forwarder.offer(part)
    result = await _within(part.result)
    assert (result.outcome, result.reason) == (Outcome.FAILED, "internal")


async def test_room_is_announced(make: Make, client: ScriptedClient) -> None:
    """Whoever waits for room goes on when the backlog was emptied."""
    forwarder = make(queue_max=1, sends_max=1, linger_s=0.0)
    client.hold()
    forwarder.offer(_part())
    await client.wait_tried(1)
    forwarder.offer(_part())
    assert forwarder.full
    waiter = forwarder.wait_room()
    client.release()
    async with asyncio.timeout(10):
        await waiter
    assert not forwarder.full


def test_the_per_backend_series_is_named_after_id_and_endpoint() -> None:
    """`sum by (exporter)` shows one series a backend."""
    metrics = Metrics()
    backend = RouterMetrics(metrics, "loadbalancing/x").backend("10.0.0.1:4317")
    assert isinstance(backend.exporter, ExporterMetrics)
    assert backend.exporter.exporter_id == "loadbalancing/x/10.0.0.1:4317"
