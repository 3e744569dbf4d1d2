"""The forwarder: handing back, retiring, closing."""

from __future__ import annotations

import asyncio

from services.router.tests.rig import (
    SLOW_RETRY,
    UNREACHABLE,
    MakeForwarder,
    part_of,
    within,
)

from tailring_pipeline import Refused, Rejected
from tailring_router.part import Outcome
from tailring_testkit.client import ScriptedClient


async def test_a_removed_backend_that_never_answers_gives_its_parts_up(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """A call without a limit does not keep its parts for ever: they are moved."""
    client.hold()
    forwarder = make_forwarder(timeout_s=0.05)
    part = part_of()
    forwarder.offer(part)
    await client.wait_tried(1)
    await forwarder.retire(0.01)
    assert part.result.result().outcome is Outcome.MOVED


async def test_an_unreachable_backend_is_suspected_until_it_answers(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """Suspicion begins with a failed connection and ends with a delivery."""
    client.script([Refused("unreachable", "connection refused")])
    forwarder = make_forwarder()
    part = part_of()
    forwarder.offer(part)
    await client.wait_tried(1)
    await asyncio.sleep(0)
    assert forwarder.suspected
    await within(part.result)
    assert not forwarder.suspected


async def test_handing_back_moves_what_waits_for_a_retry(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """A part between two tries is moved at once when the ring changes."""
    client.answer = Refused("unreachable", "connection refused")
    forwarder = make_forwarder(retry=SLOW_RETRY)
    part = part_of()
    forwarder.offer(part)
    await client.wait_tried(1)
    await asyncio.sleep(0)
    forwarder.hand_back()
    assert (await within(part.result)).outcome is Outcome.MOVED


async def test_what_is_in_flight_is_not_moved_before_its_fate_is_known(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """A request in flight when the ring changes and then delivered was delivered."""
    forwarder = make_forwarder()
    client.hold()
    part = part_of()
    forwarder.offer(part)
    await client.wait_tried(1)
    forwarder.hand_back()
    client.release()
    assert (await within(part.result)).outcome is Outcome.DELIVERED


async def test_retiring_sends_what_is_held(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """A removed backend is still sent what it was given, then the client closes."""
    forwarder = make_forwarder()
    part = part_of()
    forwarder.offer(part)
    await forwarder.retire(5.0)
    assert part.result.result().outcome is Outcome.DELIVERED
    assert client.closed


async def test_retiring_moves_what_cannot_be_sent(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """What a removed backend does not take is handed back without waiting."""
    client.answer = Refused("unreachable", "gone")
    forwarder = make_forwarder(retry=SLOW_RETRY)
    part = part_of()
    forwarder.offer(part)
    await client.wait_tried(1)
    await forwarder.retire(5.0)
    assert part.result.result().outcome is Outcome.MOVED


async def test_a_closed_forwarder_fails_new_parts(
    make_forwarder: MakeForwarder,
) -> None:
    """A part that comes too late is not offered in circles."""
    forwarder = make_forwarder()
    await forwarder.retire(1.0)
    part = part_of()
    forwarder.offer(part)
    assert part.result.result().outcome is Outcome.FAILED
    assert forwarder.full


async def test_closing_fails_what_is_held(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """Nothing is left unresolved by a close, and a second close does nothing."""
    forwarder = make_forwarder(sends_max=1, linger_s=0.0, request_bytes_max=1)
    client.hold()
    parts = [part_of(), part_of()]
    for part in parts:
        forwarder.offer(part)
    await client.wait_tried(1)
    await forwarder.close()
    await forwarder.close()
    reasons = {part.result.result().reason for part in parts}
    assert reasons == {"shutdown"}
    assert forwarder.held_items == 0


async def test_halves_of_a_rejected_request_are_called_back_with_it(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """The ring changes while a joined request is taken apart: what then fails is moved,
    whichever half it is in."""
    bad = Rejected("invalid_argument", "not this")
    forwarder = make_forwarder(retry=SLOW_RETRY)
    client.hold()
    client.script([bad, UNREACHABLE, UNREACHABLE])
    parts = [part_of(b"1"), part_of(b"2")]
    for part in parts:
        forwarder.offer(part)
    await client.wait_tried(1)
    forwarder.hand_back()
    client.release()
    for part in parts:
        assert (await within(part.result)).outcome is Outcome.MOVED


async def test_a_retirement_that_is_cancelled_leaves_no_connection(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """Who stops a drain in the middle and closes the forwarder closes its client."""
    client.hold()
    forwarder = make_forwarder()
    part = part_of()
    forwarder.offer(part)
    await client.wait_tried(1)
    retiring = asyncio.ensure_future(forwarder.retire(0.0))
    while not part.result.done():
        retiring.cancel()
        await asyncio.sleep(0)
        await forwarder.close()
    assert client.closed
