"""Retry: what is sent again, when, and when no more."""

from __future__ import annotations

import asyncio

import pytest

from tailring_pipeline import Batch, Refused, Rejected, Retry, RetryConfig
from tailring_pipeline.retry import HURRIED_WAIT_MAX_S
from tailring_testkit.sink import Sink
from tailring_testkit.virtual_time import virtual_time

S = 1_000_000_000
BATCH = Batch(b"abcd", 4)
REFUSED = Refused("unavailable", "try again")


def _retry(sink: Sink, config: RetryConfig | None = None) -> Retry:
    return Retry(config or RetryConfig(), consumer=sink, jitter=lambda: 0.5)


def _now_s() -> float:
    return asyncio.get_running_loop().time()


@virtual_time
async def test_a_refused_batch_is_sent_again_until_it_is_taken() -> None:
    """Two refusals cost waits of 5 and 7.5 seconds, then the batch is delivered."""
    sink = Sink()
    sink.script([REFUSED, REFUSED, None])
    await _retry(sink).consume(BATCH)
    assert sink.batches == [BATCH]
    assert _now_s() == pytest.approx(12.5)


@virtual_time
async def test_a_rejected_batch_is_not_sent_again() -> None:
    """A permanent answer is raised at once."""
    sink = Sink()
    sink.reject()
    with pytest.raises(Rejected):
        await _retry(sink).consume(BATCH)
    assert len(sink.turned_away) == 1
    assert _now_s() == 0


@virtual_time
async def test_the_asked_for_wait_is_kept() -> None:
    """A refusal that asks for 20 seconds is not answered with a try after 5."""
    sink = Sink()
    sink.script([Refused("throttled", "later", retry_after_s=20), None])
    await _retry(sink).consume(BATCH)
    assert _now_s() == pytest.approx(20)


@virtual_time
async def test_it_gives_up_when_the_time_is_over() -> None:
    """Once a wait would end after max_elapsed_time the last refusal is raised."""
    sink = Sink()
    sink.refuse("unavailable")
    config = RetryConfig(max_elapsed_time=30 * S)
    with pytest.raises(Refused, match="unavailable"):
        await _retry(sink, config).consume(BATCH)
    assert len(sink.turned_away) == 4
    assert _now_s() == pytest.approx(5 + 7.5 + 11.25)


@virtual_time
async def test_the_time_of_slow_attempts_counts() -> None:
    """max_elapsed_time runs while an attempt is under way, not only while waiting."""

    class Slow:
        calls = 0

        async def consume(self, batch: Batch) -> None:
            self.calls += 1
            await asyncio.sleep(20)
            raise REFUSED

    slow = Slow()
    retry = Retry(
        RetryConfig(max_elapsed_time=30 * S), consumer=slow, jitter=lambda: 0.5
    )
    with pytest.raises(Refused):
        await retry.consume(BATCH)
    assert slow.calls == 2


@virtual_time
async def test_switched_off_it_passes_the_first_refusal_on() -> None:
    """With enabled: false there is exactly one attempt."""
    sink = Sink()
    sink.refuse()
    with pytest.raises(Refused):
        await _retry(sink, RetryConfig(enabled=False)).consume(BATCH)
    assert len(sink.turned_away) == 1


@virtual_time
async def test_only_what_remains_is_sent_again() -> None:
    """A refusal that names the rest is followed by an attempt with the rest alone."""
    rest = Batch(b"cd", 2)
    sink = Sink()
    sink.script([Refused("unavailable", "half", remaining=rest), None])
    await _retry(sink).consume(BATCH)
    assert sink.batches == [rest]


@virtual_time
async def test_giving_up_names_what_remains() -> None:
    """When the rest is refused for good, the caller hears that only it is left."""
    rest = Batch(b"cd", 2)
    sink = Sink(REFUSED)
    sink.script([Refused("unavailable", "half", remaining=rest)])
    config = RetryConfig(max_elapsed_time=30 * S)
    with pytest.raises(Refused) as caught:
        await _retry(sink, config).consume(BATCH)
    assert caught.value.remaining == rest
    assert caught.value.items_of(BATCH) == 2


@virtual_time
async def test_a_rejected_rest_counts_the_rest_alone() -> None:
    """When the rest is rejected, only its items are reported as rejected."""
    rest = Batch(b"cd", 2)
    sink = Sink()
    sink.script(
        [Refused("unavailable", "half", remaining=rest), Rejected("bad", "never")]
    )
    with pytest.raises(Rejected) as caught:
        await _retry(sink).consume(BATCH)
    assert caught.value.items == 2


@virtual_time
async def test_stopping_cuts_the_wait_short_for_one_last_attempt() -> None:
    """A drain wakes those who wait: one attempt at once, and its refusal is final."""
    sink = Sink()
    sink.refuse()
    retry = _retry(sink)
    waiting = asyncio.get_running_loop().create_task(retry.consume(BATCH))
    await asyncio.sleep(1)
    retry.stop_retrying()
    with pytest.raises(Refused):
        await waiting
    assert len(sink.turned_away) == 2
    assert _now_s() == pytest.approx(1)


@virtual_time
async def test_hurrying_tries_at_once_and_then_every_second() -> None:
    """A drain wakes those who wait, and no wait is long from then on."""
    sink = Sink()
    sink.script([REFUSED, REFUSED, REFUSED, None])
    retry = _retry(sink)
    waiting = asyncio.get_running_loop().create_task(retry.consume(BATCH))
    await asyncio.sleep(2)
    retry.hurry()
    await waiting
    assert _now_s() == pytest.approx(2 + 2 * HURRIED_WAIT_MAX_S)


@virtual_time
async def test_hurrying_waits_as_long_as_the_backend_asks() -> None:
    """What a refusal asks for is a minimum in a drain too."""
    sink = Sink()
    sink.script([Refused("throttled", "later", retry_after_s=4.0), None])
    retry = _retry(sink)
    retry.hurry()
    await retry.consume(BATCH)
    assert _now_s() == pytest.approx(4)


@virtual_time
async def test_after_stopping_a_batch_still_has_one_attempt() -> None:
    """What is flushed during a drain is sent once and not again."""
    sink = Sink()
    retry = _retry(sink)
    retry.stop_retrying()
    await retry.consume(BATCH)
    sink.refuse()
    with pytest.raises(Refused):
        await retry.consume(BATCH)
    assert (len(sink.batches), len(sink.turned_away)) == (1, 1)


@virtual_time
async def test_a_cancelled_caller_ends_the_retrying() -> None:
    """Nothing is sent for a caller that went away while it waited."""
    sink = Sink()
    sink.refuse()
    waiting = asyncio.get_running_loop().create_task(_retry(sink).consume(BATCH))
    await asyncio.sleep(1)
    waiting.cancel()
    await asyncio.sleep(1000)
    assert waiting.cancelled()
    assert len(sink.turned_away) == 1
