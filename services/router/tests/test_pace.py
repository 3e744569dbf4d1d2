"""How long parts wait for company."""

from __future__ import annotations

import asyncio

import pytest
from services.router.tests.rig import MakeForwarder, part_of, within

from tailring_router.pace import CALM_PER_S, LINGER_MAX_S, Pace
from tailring_router.shared import Shared
from tailring_testkit.client import ScriptedClient

LEAST_S = 0.003


def busy(backends: int, *, per_s: float = 4000.0, open_requests: int = 8) -> Pace:
    """A pace that has sent at this rate for two seconds, until second 2."""
    pace = Pace()
    pace.backends = backends
    pace.open = open_requests
    for number in range(int(2 * per_s)):
        pace.sent(number / per_s)
    return pace


@pytest.mark.parametrize("per_s", [100.0, 1000.0, 20_000.0])
def test_the_rate_is_that_of_the_last_moments(per_s: float) -> None:
    """A steady rate is measured as it is, and forgotten within some seconds."""
    pace = busy(4, per_s=per_s)
    assert pace.per_s(2.0) == pytest.approx(per_s, rel=0.05)
    assert pace.per_s(5.0) < per_s / 1000


def test_a_calm_fleet_waits_as_configured() -> None:
    """Below the rate the number of backends plays no part."""
    pace = busy(300, per_s=CALM_PER_S / 2)
    assert pace.calm(2.0)
    assert pace.linger_s(LEAST_S, 2.0) == LEAST_S


def test_nobody_waits_for_a_sender_who_is_alone() -> None:
    """With one open request there is no company to wait for, however fast it goes."""
    assert busy(50, open_requests=1).calm(2.0)


def test_a_busy_fleet_waits_the_longer_the_more_backends_it_has() -> None:
    """The wait grows with the fleet, within its bounds."""
    waits_s = [busy(count).linger_s(LEAST_S, 2.0) for count in (1, 4, 20, 50, 300)]
    assert waits_s == sorted(waits_s)
    assert waits_s[:2] == [LEAST_S, LEAST_S]
    assert waits_s[3] == pytest.approx(0.02)
    assert waits_s[4] == LINGER_MAX_S


def test_a_clock_that_stands_still_is_taken() -> None:
    """Several requests in one turn of the event loop have the same time."""
    pace = Pace()
    for _ in range(3):
        pace.sent(7.0)
    assert pace.per_s(7.0) > 0


async def test_an_idle_forwarder_of_a_busy_fleet_gathers(
    make_forwarder: MakeForwarder, client: ScriptedClient
) -> None:
    """Parts that come 5 ms apart leave as one request, although nothing was in flight
    when the first came."""
    fleet = Shared()
    fleet.pace.backends, fleet.pace.open = 50, 8
    for _ in range(2000):
        fleet.pace.sent(asyncio.get_running_loop().time())
    forwarder = make_forwarder(fleet=fleet)
    parts = [part_of(b"1"), part_of(b"2")]
    forwarder.offer(parts[0])
    await asyncio.sleep(0.005)
    forwarder.offer(parts[1])
    for part in parts:
        await within(part.result)
    assert client.tried == [b"12"]
