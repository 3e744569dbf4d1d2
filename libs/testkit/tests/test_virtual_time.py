"""What tests may rely on in virtual time."""

from __future__ import annotations

import asyncio
import time

import pytest

from tailring_testkit.virtual_time import Stalled, run, virtual_time


@virtual_time
async def test_a_long_sleep_takes_no_real_time() -> None:
    """An hour passes on the loop's clock within a second of real time."""
    before_s = time.monotonic()
    await asyncio.sleep(3600)
    assert asyncio.get_running_loop().time() == pytest.approx(3600)
    assert time.monotonic() - before_s < 1


@virtual_time
async def test_timers_run_in_the_order_of_their_time() -> None:
    """Of two timers the earlier one runs first, whichever was set first."""
    ran: list[str] = []
    loop = asyncio.get_running_loop()
    loop.call_later(2, ran.append, "late")
    loop.call_later(1, ran.append, "early")
    await asyncio.sleep(3)
    assert ran == ["early", "late"]


@virtual_time
async def test_a_timeout_fires() -> None:
    """A wait that nothing ends is cut off by its timeout."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await asyncio.get_running_loop().create_future()


def test_a_wait_for_nothing_is_an_error() -> None:
    """Where a real loop would hang, Stalled is raised."""

    async def wait_for_nothing() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stalled):
        run(wait_for_nothing())


def test_code_that_lets_no_time_pass_is_an_error() -> None:
    """What calls itself again and again at once is Stalled, and does not hang."""

    async def spin() -> None:
        loop = asyncio.get_running_loop()

        def again() -> None:
            loop.call_soon(again)

        again()
        await loop.create_future()

    with pytest.raises(Stalled):
        run(spin())
