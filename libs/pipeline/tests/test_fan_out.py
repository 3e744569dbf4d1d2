"""One input, several consumers, one answer."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from tailring_pipeline import Batch, Refused, Rejected, branches_of, fan_out
from tailring_testkit.sink import Sink

BATCH = Batch(b"abcd", 4)


async def test_every_consumer_gets_the_batch() -> None:
    """Each of three consumers takes the same batch once."""
    sinks = [Sink(), Sink(), Sink()]
    await fan_out(sinks).consume(BATCH)
    assert [sink.batches for sink in sinks] == [[BATCH]] * 3


def test_a_single_consumer_is_not_wrapped() -> None:
    """With one consumer there is nothing to fan out."""
    sink = Sink()
    assert fan_out([sink]) is sink


def test_no_consumer_is_an_error() -> None:
    """A pipeline that leads nowhere is a programmer's error."""
    with pytest.raises(ValueError, match="at least one"):
        fan_out([])


async def test_one_refusal_refuses_but_all_are_tried() -> None:
    """A refusal of the first does not keep the batch from the second."""
    full, good = Sink(Refused("full", "full", retry_after_s=2)), Sink()
    slow = Sink(Refused("slow", "slow", retry_after_s=9))
    with pytest.raises(Refused) as caught:
        await fan_out([full, good, slow]).consume(BATCH)
    assert good.batches == [BATCH]
    assert caught.value.retry_after_s == 9
    assert caught.value.detail == "full; slow"


async def test_a_refusal_wins_over_a_rejection() -> None:
    """While sending again may help one consumer, the answer is retryable."""
    with pytest.raises(Refused):
        await fan_out(
            [Sink(Rejected("bad", "no")), Sink(Refused("full", "x"))]
        ).consume(BATCH)


async def test_a_rejection_alone_is_permanent() -> None:
    """The largest number of rejected items of any consumer is reported."""
    sinks = [Sink(), Sink(Rejected("a", "a", items=1)), Sink(Rejected("b", "b"))]
    with pytest.raises(Rejected) as caught:
        await fan_out(sinks).consume(BATCH)
    assert caught.value.items == 4


async def test_a_bug_of_one_consumer_is_retryable() -> None:
    """An unexpected exception is logged and does not keep the others from the batch."""
    good = Sink()
    with capture_logs() as logs, pytest.raises(Refused, match="ZeroDivisionError"):
        await fan_out([Sink(ZeroDivisionError("x")), good]).consume(BATCH)
    assert good.batches == [BATCH]
    assert len(logs) == 1


def test_a_fan_out_can_be_taken_apart() -> None:
    """Its branches are its consumers; any other consumer is its own branch."""
    sinks = (Sink(), Sink())
    assert branches_of(fan_out(sinks)) == sinks
    assert branches_of(sinks[0]) == (sinks[0],)
