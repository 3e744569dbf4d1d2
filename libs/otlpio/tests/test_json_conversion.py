"""JSON bodies that are converted beside the loop: their limits and their clients."""

from __future__ import annotations

import asyncio

from tailring_otlpio import ReceiverSettings
from tailring_testkit import otlp, otlp_json
from tailring_testkit.otlp_clients import JSON
from tailring_testkit.receiver_rig import Counts, receiver_rig, until

ONE = otlp.request(otlp.span(b"t" * 16, b"s" * 8))
LARGE = otlp_json.format_request(otlp.realistic_request(4096, seed=3)).encode()
FAILURE = Counts(failure=1)


async def test_what_is_converted_counts_as_in_flight() -> None:
    """A JSON body keeps its place while it is converted: a second is refused then."""
    async with receiver_rig(settings=ReceiverSettings(requests_in_flight_max=1)) as rig:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(rig.http.post(LARGE, content_type=JSON))
            await until(lambda: rig.in_flight() == (1, len(LARGE)))
            await asyncio.sleep(0.01)
            assert (await rig.http.post(ONE)).status == 503
        assert first.result().status == 200
        assert rig.in_flight() == (0, 0)


async def test_a_client_that_leaves_leaves_its_conversion_in_flight() -> None:
    """A conversion that nobody waits for goes on, holds its place until it ends, and
    no other one begins meanwhile."""
    async with receiver_rig() as rig:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(rig.http.post(LARGE, content_type=JSON))
            await until(lambda: rig.in_flight() == (1, len(LARGE)))
            await asyncio.sleep(0.01)
            first.cancel()
            await rig.wait_counts("http", FAILURE)
            assert rig.in_flight() == (1, len(LARGE))
            second = group.create_task(rig.http.post(LARGE, content_type=JSON))
            await until(lambda: rig.in_flight() == (2, 2 * len(LARGE)))
            await until(lambda: rig.in_flight()[0] == 1)
            assert not second.done()
        assert second.result().status == 200
        assert rig.in_flight() == (0, 0)


async def test_a_client_that_leaves_before_its_conversion_takes_its_place_along() -> (
    None
):
    """A body that waits for its turn goes with its client."""
    async with receiver_rig() as rig, asyncio.TaskGroup() as group:
        first = group.create_task(rig.http.post(LARGE, content_type=JSON))
        await until(lambda: rig.in_flight() == (1, len(LARGE)))
        second = group.create_task(rig.http.post(LARGE, content_type=JSON))
        await until(lambda: rig.in_flight() == (2, 2 * len(LARGE)))
        second.cancel()
        await rig.wait_counts("http", FAILURE)
        assert rig.in_flight() == (1, len(LARGE))
        assert (await first).status == 200


async def test_large_json_is_not_converted_for_a_drain() -> None:
    """While it drains the receiver refuses a large JSON body as it is."""
    async with receiver_rig() as rig:
        rig.receiver.close()
        reply = await rig.http.post(LARGE, content_type=JSON)
        assert (reply.status, reply.headers["retry-after"]) == (503, "1")
        assert rig.counts("http") == Counts(refused=1)
