"""What is remembered of parts that arrived in a request that failed."""

from __future__ import annotations

import asyncio

import pytest
from services.router.tests.rig import BATCH, NEVER, SPANS, UNREACHABLE, MakeBench

from tailring_pipeline import Refused
from tailring_router.repeats import Repeats
from tailring_testkit.otlp import spans_of

OFF = {"enabled": False}


def test_only_what_was_delivered_is_known() -> None:
    """Equal bytes are known, other bytes are not."""
    repeats = Repeats()
    repeats.remember(b"part", 0)
    assert repeats.known(bytes(bytearray(b"part")), 1)
    assert not repeats.known(b"other", 1)


def test_it_forgets_after_its_time() -> None:
    """A part is known for `keep_ns` after it was last remembered."""
    repeats = Repeats(keep_ns=10)
    repeats.remember(b"part", 0)
    repeats.remember(b"part", 5)
    assert repeats.known(b"part", 14)
    assert not repeats.known(b"part", 15)
    assert len(repeats) == 0


def test_it_is_bounded() -> None:
    """At most `entries_max` are kept, the newest."""
    repeats = Repeats(entries_max=2)
    for number in range(5):
        repeats.remember(bytes([number]), 0)
    assert [repeats.known(bytes([number]), 0) for number in range(5)] == [
        False,
        False,
        False,
        True,
        True,
    ]


async def test_a_repeated_request_costs_no_second_copy(make_bench: MakeBench) -> None:
    """A sender that repeats a refused request has each span delivered once."""
    bench = make_bench(level2=OFF)
    bench.use("a", "b", "c")
    bench.clients["b:1"].script([UNREACHABLE, UNREACHABLE])
    for _ in range(2):
        with pytest.raises(Refused):
            await bench.begin().finish()
    await bench.begin().finish()
    assert [len(bench.clients[n].delivered) for n in ("a:1", "b:1", "c:1")] == [1, 1, 1]
    assert bench.delivered() == SPANS
    assert bench.left()["delivered"] == SPANS
    share = len(spans_of(bench.clients["b:1"].delivered[0]))
    assert bench.left()["repeated"] == 2 * (SPANS - share)


async def test_what_arrives_after_its_sender_left_is_remembered(
    make_bench: MakeBench,
) -> None:
    """In flight when the sender gave up, delivered later: its repeat is not sent."""
    bench = make_bench(level2=NEVER)
    bench.use("a")
    bench.clients["a:1"].hold()
    waiting = asyncio.ensure_future(bench.begin().finish())
    await bench.clients["a:1"].wait_tried(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    bench.clients["a:1"].release()
    await asyncio.sleep(0.01)
    await bench.begin().finish()
    assert bench.clients["a:1"].delivered == [BATCH.payload]
    assert bench.left() == {"delivered": SPANS, "repeated": SPANS}


async def test_equal_requests_that_succeed_are_all_delivered(
    make_bench: MakeBench,
) -> None:
    """What a sender sends twice on its own account is sent twice."""
    bench = make_bench()
    bench.use("a")
    await bench.begin().finish()
    await bench.begin().finish()
    assert bench.delivered() == 2 * SPANS
