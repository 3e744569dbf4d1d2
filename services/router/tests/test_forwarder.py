"""The forwarder: coalescing, retry, isolation."""

from __future__ import annotations

import asyncio

from services.router.tests.rig import (
    NO_RETRY,
    RETRY,
    SLOW_RETRY,
    UNREACHABLE,
    MakeForwarder,
    part_of,
    within,
)
from structlog.testing import capture_logs

from tailring_pipeline import ExporterMetrics, Refused, Rejected
from tailring_router.metrics import RouterMetrics
from tailring_router.part import Outcome, Part
from tailring_runtime.metrics import Metrics
from tailring_testkit.client import ScriptedClient


async def test_an_idle_forwarder_delivers_at_once(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """A part given to an idle forwarder is sent without lingering."""
    forwarder = make_forwarder(linger_s=3600.0)
    part = part_of()
    forwarder.offer(part)
    assert (await within(part.result)).outcome is Outcome.DELIVERED
    assert client.delivered == [b"p"]


async def test_parts_offered_together_are_one_request(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """Parts of one turn of the event loop are joined by concatenation."""
    forwarder = make_forwarder()
    parts = [part_of(b"a"), part_of(b"b"), part_of(b"c")]
    for part in parts:
        forwarder.offer(part)
    for part in parts:
        await within(part.result)
    assert client.delivered == [b"abc"]


async def test_under_load_parts_are_gathered(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """While a request is in flight, what comes next waits for company."""
    forwarder = make_forwarder(linger_s=0.02)
    client.hold()
    first = part_of(b"1")
    forwarder.offer(first)
    await client.wait_tried(1)
    later = [part_of(b"2"), part_of(b"3")]
    forwarder.offer(later[0])
    await asyncio.sleep(0)
    forwarder.offer(later[1])
    await client.wait_tried(2)
    client.release()
    for part in [first, *later]:
        await within(part.result)
    assert client.delivered == [b"1", b"23"]


async def test_enough_bytes_are_not_kept_waiting(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """A gathered size at the target is sent although the linger has not passed."""
    forwarder = make_forwarder(linger_s=3600.0, gather_bytes=10)
    client.hold()
    forwarder.offer(part_of(b"1"))
    await client.wait_tried(1)
    forwarder.offer(part_of(b"x" * 11))
    await client.wait_tried(2)
    client.release()


async def test_no_more_requests_in_flight_than_allowed(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """`sends_max` bounds the requests in flight."""
    forwarder = make_forwarder(sends_max=2, linger_s=0.0, request_bytes_max=1)
    client.hold()
    parts = [part_of(b"x") for _ in range(5)]
    for part in parts:
        forwarder.offer(part)
    await client.wait_tried(2)
    client.release()
    for part in parts:
        await within(part.result)
    assert client.in_flight_max == 2


async def test_a_passing_failure_is_retried(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """A refused request is sent again until it is delivered."""
    client.script([Refused("unavailable", "busy"), Refused("unavailable", "busy")])
    forwarder = make_forwarder()
    part = part_of()
    forwarder.offer(part)
    assert (await within(part.result)).outcome is Outcome.DELIVERED
    assert len(client.tried) == 3


async def test_without_retry_a_failure_is_final(
    make_forwarder: MakeForwarder, client: ScriptedClient, metrics: Metrics
) -> None:
    """With retry off the part fails with the backend's reason and is counted."""
    client.answer = Refused("throttled", "slow down", retry_after_s=2.0)
    forwarder = make_forwarder(retry=NO_RETRY)
    part = part_of(spans=7)
    forwarder.offer(part)
    result = await within(part.result)
    assert (result.outcome, result.reason) == (Outcome.FAILED, "throttled")
    assert result.retry_after_s == 2.0
    failed = metrics.value("otelcol_exporter_send_failed_spans", exporter="lb/b:1")
    assert failed == 7


async def test_no_retry_begins_after_the_deadline(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """A part whose deadline passed fails instead of waiting for another try."""
    client.answer = Refused("unavailable", "busy")
    forwarder = make_forwarder()
    part = Part(b"p", 1, address="b:1", deadline_ns=1)
    forwarder.offer(part)
    assert (await within(part.result)).outcome is Outcome.FAILED
    assert len(client.tried) == 1


async def test_one_bad_part_does_not_take_the_others_with_it(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """A joined request that is refused for good is sent again part by part."""
    bad = Rejected("invalid_argument", "bad bytes")
    client.script([bad, None, bad, bad, None])  # abc, a, bc, b, c
    forwarder = make_forwarder()
    parts = [part_of(b"a"), part_of(b"b"), part_of(b"c")]
    for part in parts:
        forwarder.offer(part)
    outcomes = [(await within(part.result)).outcome for part in parts]
    assert outcomes == [Outcome.DELIVERED, Outcome.REJECTED, Outcome.DELIVERED]
    assert client.delivered == [b"a", b"c"]


async def test_partial_success_is_charged_to_the_parts(
    make_forwarder: MakeForwarder, client: ScriptedClient, metrics: Metrics
) -> None:
    """Spans that a backend did not take are counted once over the joined parts."""
    client.script([3])
    forwarder = make_forwarder()
    parts = [part_of(b"a", spans=2), part_of(b"b", spans=2)]
    for part in parts:
        forwarder.offer(part)
    results = [await within(part.result) for part in parts]
    assert [r.rejected for r in results] == [2, 1]
    assert {r.detail for r in results} == {"the script says so"}
    assert metrics.value("otelcol_exporter_sent_spans", exporter="lb/b:1") == 1


async def test_an_abandoned_part_is_not_sent(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """A part whose sender went away while it was queued never leaves."""
    forwarder = make_forwarder()
    gone, stays = part_of(b"gone"), part_of(b"stays")
    forwarder.offer(gone)
    forwarder.offer(stays)
    assert forwarder.abandon(gone)
    await within(stays.result)
    assert client.delivered == [b"stays"]


async def test_what_is_in_flight_is_not_recalled_and_not_tried_again(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """A part abandoned in flight is resolved by what becomes of that one try."""
    client.script([Refused("unavailable", "busy")])
    client.hold()
    forwarder = make_forwarder()
    part = part_of()
    forwarder.offer(part)
    await client.wait_tried(1)
    assert not forwarder.abandon(part)
    client.release()
    result = await within(part.result)
    assert (result.outcome, result.reason) == (Outcome.FAILED, "abandoned")
    assert len(client.tried) == 1


async def test_a_hurrying_forwarder_tries_at_once_and_waits_briefly(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """A part that sleeps for minutes is tried when the router begins to drain, and
    again soon, because the backend may be back before the end."""
    client.script([Refused("unavailable", "busy")] * 2)
    forwarder = make_forwarder(retry=SLOW_RETRY)
    part = part_of()
    forwarder.offer(part)
    await client.wait_tried(1)
    await asyncio.sleep(0)
    forwarder.hurry()
    assert (await within(part.result)).outcome is Outcome.DELIVERED
    assert len(client.tried) == 3


async def test_an_old_part_does_not_end_the_retries_of_its_company(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """Of joined parts only those whose time is over fail; the others go on."""
    client.script([Refused("unavailable", "busy")] * 3)
    forwarder = make_forwarder()
    old, young = Part(b"o", 1, address="b:1", deadline_ns=1), part_of(b"y")
    forwarder.offer(old)
    forwarder.offer(young)
    assert (await within(old.result)).outcome is Outcome.FAILED
    assert (await within(young.result)).outcome is Outcome.DELIVERED
    assert client.delivered == [b"y"]


async def test_a_success_wakes_those_that_wait(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """A delivery ends the backoff of other requests to the same backend."""
    client.script([Refused("unreachable", "down"), None])
    forwarder = make_forwarder(retry=SLOW_RETRY, linger_s=0.0)
    waiting = part_of(b"1")
    forwarder.offer(waiting)
    await client.wait_tried(1)
    second = part_of(b"2")
    forwarder.offer(second)
    assert (await within(second.result)).outcome is Outcome.DELIVERED
    assert (await within(waiting.result)).outcome is Outcome.DELIVERED


async def test_a_rejection_too_shows_that_a_backend_is_back(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """Who waits for a backend that was away is woken by any answer of it."""
    client.script([UNREACHABLE, Rejected("permission_denied", "no"), None])
    forwarder = make_forwarder(retry=SLOW_RETRY, linger_s=0.0)
    waiting = part_of(b"1")
    forwarder.offer(waiting)
    await client.wait_tried(1)
    second = part_of(b"2")
    forwarder.offer(second)
    assert (await within(second.result)).outcome is Outcome.REJECTED
    assert (await within(waiting.result)).outcome is Outcome.DELIVERED


async def test_a_success_does_not_wake_those_that_were_asked_to_wait(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """A wait that the backend asked for is not cut short by other requests that it
    takes, nor is one for a request that it refuses while it takes others."""
    for refusal in (
        Refused("throttled", "later", retry_after_s=60.0),
        Refused("unavailable", "not this one"),
    ):
        forwarder = make_forwarder(retry=SLOW_RETRY, linger_s=0.0)
        client.script([refusal])
        waiting = part_of(b"1")
        forwarder.offer(waiting)
        tried = len(client.tried)
        await client.wait_tried(tried + 1)
        for number in range(5):
            part = part_of(b"%d" % number)
            forwarder.offer(part)
            await within(part.result)
        assert client.tried.count(b"1") <= tried + 2
        assert not waiting.result.done()


async def test_an_unexpected_error_of_a_client_fails_the_part(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """A client that breaks its contract leaves nobody waiting."""
    client.answer = RuntimeError("a bug")
    forwarder = make_forwarder()
    part = part_of()
    forwarder.offer(part)
    result = await within(part.result)
    assert (result.outcome, result.reason) == (Outcome.FAILED, "internal")


async def test_room_is_announced(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """Whoever waits for room goes on when the backlog was emptied."""
    forwarder = make_forwarder(queue_max=1, sends_max=1, linger_s=0.0)
    client.hold()
    forwarder.offer(part_of())
    await client.wait_tried(1)
    forwarder.offer(part_of())
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


async def test_a_backend_that_is_away_is_logged(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """A line says that its parts wait, one that they were given up, and why."""
    client.answer = UNREACHABLE
    with capture_logs() as logs:
        forwarder = make_forwarder(
            retry=RETRY.model_copy(update={"max_elapsed_time": 20_000_000})
        )
        part = part_of(spans=7)
        forwarder.offer(part)
        await within(part.result)
        await forwarder.close()
    retried = [line for line in logs if "Will retry" in line["event"]]
    (given_up,) = [line for line in logs if line["event"].endswith("Rejecting data.")]
    assert retried[0]["log_level"] == "info"
    assert {line["backend"] for line in logs} == {"b:1"}
    assert {line["error"] for line in logs} == {UNREACHABLE.detail}
    assert given_up["items"] == 7
