"""How long parts wait for company."""

from __future__ import annotations

import asyncio

import pytest
from services.router.tests.rig import SPANS, MakeBench

from tailring_router.pace import CALM_PER_S, LINGER_MAX_S, Pace

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


async def test_many_backends_get_few_requests_under_load(make_bench: MakeBench) -> None:
    """Eight senders and 40 backends: parts of several requests leave together."""
    bench = make_bench()
    bench.use(*(f"b{number}" for number in range(40)))

    async def send(requests: int) -> None:
        for _ in range(requests):
            await bench.begin().finish()

    await asyncio.gather(*(send(20) for _ in range(8)))
    tried = sum(len(client.tried) for client in bench.everyone)
    assert bench.delivered() == 8 * 20 * SPANS
    owners = sum(bool(client.tried) for client in bench.everyone)
    assert tried < 8 * 20 * owners / 3
