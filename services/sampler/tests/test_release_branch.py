"""Kept traces on their way to each exporter: refusals, poison, one that is down."""

from __future__ import annotations

import asyncio
import math

import pytest
from services.sampler.tests.release_rig import (
    SPANS,
    Rig,
    arrived,
    large,
)

from tailring_pipeline import Batch, Refused, Rejected
from tailring_runtime.losses import Loss
from tailring_sampler.release import ReleaseSettings
from tailring_testkit import otlp
from tailring_testkit.sink import Sink
from tailring_testkit.virtual_time import virtual_time


@virtual_time
async def test_what_is_refused_is_sent_again_until_it_is_taken() -> None:
    """A backend that refuses for an hour costs no span."""
    rig = Rig(Sink())
    rig.sink.refuse()
    rig.offer(1, 2)
    await asyncio.sleep(3600)
    assert rig.sink.batches == []
    assert rig.release.spans_held == 2 * SPANS
    rig.sink.take()
    await rig.release.flush(60)
    assert rig.arrived() == {1, 2}
    refusals = rig.metrics.value("tailring_sampler_release_refusals")
    assert 3600 / 15 < refusals < 3600
    await rig.end()


@virtual_time
async def test_a_wait_that_is_asked_for_is_kept() -> None:
    """A refusal that asks for a minute is not followed by a call within it."""
    rig = Rig(Sink())
    rig.sink.script([Refused("throttled", "later", retry_after_s=60)])
    rig.offer(1)
    await asyncio.sleep(59)
    assert rig.sink.batches == []
    await asyncio.sleep(5)
    assert rig.arrived() == {1}
    await rig.end()


@virtual_time
async def test_only_what_remains_is_sent_again() -> None:
    """A refusal of a part is followed by that part alone."""
    rig = Rig(Sink())
    rest = otlp.request(otlp.span((2).to_bytes(16, "big"), bytes(8)))
    remaining = Batch(rest, 1)
    rig.sink.script([Refused("busy", "half of it", remaining=remaining)])
    rig.offer(1, 2)
    await rig.release.flush(60)
    assert rig.sink.batches == [remaining]
    assert rig.release.spans_delivered == 2 * SPANS
    await rig.end()


@virtual_time
async def test_an_unexpected_error_is_tried_again() -> None:
    """A bug of the next component costs no span."""
    rig = Rig(Sink())
    rig.sink.script([RuntimeError("a bug"), None])
    rig.offer(1)
    await rig.release.flush(60)
    assert rig.arrived() == {1}
    await rig.end()


@virtual_time
async def test_one_poisonous_trace_costs_no_other() -> None:
    """After a rejection halves are sent; only the trace that is bad alone is lost."""
    rig = Rig(Sink())
    bad = Rejected("invalid_argument", "no")
    rig.sink.script([bad, None, bad, bad, None])
    rig.offer(1, 2, 3)
    await rig.release.flush(60)
    assert rig.arrived() == {1, 3}
    lost = rig.metrics.value("tailring_sampler_spans_lost", reason="rejected")
    assert lost == SPANS
    assert sorted(int.from_bytes(one) for one in rig.answered) == [1, 2, 3]
    await rig.end()


class Picky(Sink):
    """A sink that rejects whatever holds one of these traces."""

    def __init__(self, *numbers: int) -> None:
        super().__init__()
        self._poison = {number.to_bytes(16, "big") for number in numbers}

    async def consume(self, batch: Batch) -> None:
        """Keep the batch, or reject it as a whole."""
        if self._poison & otlp.trace_ids_of(batch.payload):
            self.turned_away.append(batch)
            raise Rejected("internal", "cannot be decoded")
        await super().consume(batch)


@virtual_time
@pytest.mark.parametrize("poison", [(), (1,), (256,), (1, 2), (100, 200)])
async def test_poison_among_many_costs_few_requests(poison: tuple[int, ...]) -> None:
    """Each poisonous trace of 256 costs at most two requests for each halving."""
    rig = Rig(Picky(*poison))
    rig.offer(*range(1, 257))
    await rig.release.flush(60)
    assert rig.arrived() == set(range(1, 257)) - set(poison)
    assert rig.release.spans_lost == len(poison) * SPANS
    assert sorted(int.from_bytes(one) for one in rig.answered) == [*range(1, 257)]
    requests = len(rig.sink.batches) + len(rig.sink.turned_away)
    assert requests <= 1 + 16 * len(poison)
    await rig.end()


@virtual_time
async def test_what_no_trace_is_to_blame_for_is_not_taken_apart() -> None:
    """Without permission every trace would be rejected; none is sent a second time."""
    rig = Rig(Sink())
    rig.sink.script([Rejected("permission_denied", "no")])
    rig.offer(1, 2, 3)
    await rig.release.flush(60)
    assert len(rig.sink.turned_away) == 1
    assert rig.release.spans_lost == 3 * SPANS
    await rig.end()


@virtual_time
async def test_a_partial_rejection_is_not_repeated() -> None:
    """Where the backend took a part, nothing is sent twice; the rest is counted."""
    rig = Rig(Sink())
    rig.sink.script([Rejected("partial", "one span", items=1)])
    rig.offer(1, 2)
    await rig.release.flush(60)
    assert rig.sink.batches == []
    assert (rig.release.spans_delivered, rig.release.spans_lost) == (3, 1)
    await rig.end()


@virtual_time
async def test_a_lone_rejected_trace_is_lost_by_name() -> None:
    """A trace that was alone in its batch is not tried again."""
    rig = Rig(Sink())
    rig.sink.reject()
    rig.offer(1)
    await rig.release.flush(60)
    assert len(rig.sink.turned_away) == 1
    assert rig.release.spans_lost == SPANS
    await rig.end()


@virtual_time
async def test_only_the_refused_part_of_a_large_trace_is_sent_again() -> None:
    """The parts of a trace are taken, refused and rejected each for itself."""
    rig = Rig(Sink(), ReleaseSettings(batch_bytes_max=3000))
    bad = Rejected("invalid_argument", "no")
    rig.sink.script([None, Refused("busy", "later"), None, bad])
    rig.release.offer(large(10, span_bytes=1000))
    await rig.release.flush(60)
    (rejected,) = (b for b in rig.sink.turned_away[1:])
    assert rig.release.spans_lost == rejected.items
    assert rig.sink.items == rig.release.spans_delivered == 10 - rejected.items
    assert rig.arrived() == {0}
    await rig.end()


@virtual_time
async def test_an_exporter_that_is_down_costs_the_other_no_copies() -> None:
    """Of two exporters one is away for an hour: each gets every span exactly once."""
    good, down = Sink(), Sink()
    down.refuse()
    rig = Rig(good, None, down)
    for number in range(100):
        rig.offer(number)
        await asyncio.sleep(36)
    assert rig.arrived() == set(range(100))
    assert arrived(down) == set()
    assert rig.release.spans_held == 100 * SPANS
    assert rig.answered == []
    down.take()
    await rig.release.flush(60)
    assert rig.arrived() == arrived(down) == set(range(100))
    assert len(good.batches) == 100
    assert rig.release.spans_delivered == 100 * SPANS
    assert len(rig.answered) == 100
    await rig.end()


@virtual_time
async def test_poison_for_one_exporter_is_taken_apart_for_it_alone() -> None:
    """What one exporter rejects is halved for it; the other took it in one request."""
    good, picky = Sink(), Picky(7)
    rig = Rig(good, None, picky)
    rig.offer(*range(20))
    await rig.release.flush(60)
    assert len(good.batches) == 1
    assert arrived(picky) == set(range(20)) - {7}
    assert (rig.release.spans_delivered, rig.release.spans_lost) == (19 * SPANS, SPANS)
    assert sorted(int.from_bytes(one) for one in rig.answered) == [*range(20)]
    await rig.end()


@virtual_time
async def test_what_one_exporter_never_got_is_lost_by_name() -> None:
    """Terminated while one of two has not answered, spans count as lost, once."""
    down = Sink()
    down.refuse()
    rig = Rig(Sink(), None, down)
    rig.offer(1, 2)
    await asyncio.sleep(1)
    assert rig.arrived() == {1, 2}
    await rig.end()
    assert rig.release.spans_lost == 2 * SPANS
    assert (rig.release.loss.spans, rig.release.loss.traces) == (2 * SPANS, 2)


@virtual_time
async def test_a_drain_does_not_wait_for_the_next_attempt() -> None:
    """Hurried, a release tries at once what it would have tried in seconds."""
    rig = Rig(Sink())
    rig.sink.refuse()
    rig.offer(1)
    await asyncio.sleep(600)
    rig.sink.take()
    rig.release.hurry()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert rig.arrived() == {1}
    await rig.end()


@virtual_time
async def test_a_hurried_release_tries_every_second() -> None:
    """While a drain lasts, a backend that comes back is noticed within a second."""
    rig = Rig(Sink())
    rig.sink.refuse()
    rig.offer(1)
    rig.release.hurry()
    await asyncio.sleep(20)
    rig.sink.take()
    await asyncio.sleep(1)
    assert rig.arrived() == {1}
    await rig.end()


@virtual_time
async def test_a_delivery_that_breaks_holds_nothing() -> None:
    """After an error that nobody foresaw, spans are lost by name and room is free."""
    rig = Rig(Sink())
    forever = Refused("busy", "a wait that no clock can count", retry_after_s=math.inf)
    rig.sink.script([forever])
    rig.offer(1, 2)
    await rig.release.flush(1)
    assert (rig.release.spans_held, rig.release.bytes_held) == (0, 0)
    lost = rig.metrics.value("tailring_sampler_spans_lost", reason="internal")
    assert lost == 2 * SPANS
    assert rig.release.loss == Loss(2 * SPANS, traces=2)
    rig.offer(3)
    await rig.release.flush(1)
    assert rig.arrived() == {3}
    await rig.end()
