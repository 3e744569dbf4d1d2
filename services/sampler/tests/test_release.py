"""Kept traces on their way out: batches, refusals, poison, limits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tailring_otlpwire import HeaderCache, group
from tailring_pipeline import Batch, Refused, Rejected
from tailring_runtime.metrics import Metrics
from tailring_sampler.release import Release, ReleaseSettings
from tailring_sampler.sampler import KeptTrace
from tailring_testkit import otlp
from tailring_testkit.sink import Sink
from tailring_testkit.virtual_time import virtual_time

SPANS = 2


def kept(number: int) -> KeptTrace:
    """A kept trace of two spans."""
    trace_id = number.to_bytes(16, "big")
    spans = [otlp.span(trace_id, bytes([serial] * 8)) for serial in range(1, SPANS + 1)]
    (part,) = group(otlp.request(*spans), HeaderCache(4))
    return KeptTrace(
        trace_id, part.pieces, spans=part.span_count, size_bytes=part.byte_count
    )


class Rig:
    """A release in front of a sink."""

    def __init__(self, sink: Sink, settings: ReleaseSettings | None = None) -> None:
        self.sink = sink
        self.metrics = Metrics()
        self.answered: list[bytes] = []
        self.release = Release(
            settings or ReleaseSettings(),
            consumer=sink,
            metrics=self.metrics,
            processor="tail_sampling",
            on_delivered=self.hear,
        )

    def hear(self, trace_ids: Sequence[bytes]) -> None:
        """Keep what is reported."""
        self.answered += trace_ids

    def offer(self, *numbers: int) -> None:
        """Release these traces."""
        for number in numbers:
            self.release.offer(kept(number))
        self.release.check_invariants()

    def arrived(self) -> set[int]:
        """The traces that the sink took."""
        return {int.from_bytes(one) for one in otlp.trace_ids_of(self.sink.payload)}

    async def end(self) -> None:
        """Stop, with every span accounted for."""
        self.release.check_invariants()
        await self.release.terminate()
        self.release.check_invariants()
        assert self.release.spans_held == 0


@virtual_time
async def test_traces_leave_together_after_a_short_wait() -> None:
    """Traces that are kept within the linger time share a batch."""
    rig = Rig(Sink())
    rig.offer(1, 2)
    await asyncio.sleep(0.1)
    rig.offer(3)
    assert rig.sink.batches == []
    await asyncio.sleep(0.11)
    assert [batch.items for batch in rig.sink.batches] == [3 * SPANS]
    assert rig.arrived() == {1, 2, 3}
    assert len(rig.answered) == 3
    await rig.end()


@virtual_time
async def test_a_full_batch_leaves_at_once() -> None:
    """A batch is sent without waiting when it has its spans."""
    rig = Rig(Sink(), ReleaseSettings(batch_spans_max=4))
    rig.offer(1, 2, 3)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [batch.items for batch in rig.sink.batches] == [4]
    await rig.release.flush(1)
    assert [batch.items for batch in rig.sink.batches] == [4, 2]
    await rig.end()


@virtual_time
async def test_bytes_bound_a_batch_too() -> None:
    """A batch is sent when it has its bytes, however few spans they are."""
    rig = Rig(Sink(), ReleaseSettings(batch_bytes_max=1))
    rig.offer(1, 2)
    await rig.release.flush(1)
    assert len(rig.sink.batches) == 2
    await rig.end()


@virtual_time
async def test_a_bounded_number_is_under_way() -> None:
    """Deliveries run side by side up to the limit; the rest waits its turn."""
    rig = Rig(Sink(), ReleaseSettings(batch_spans_max=1, in_flight_max=3))
    rig.sink.hold()
    rig.offer(*range(8))
    await rig.sink.wait_in_flight(3)
    await asyncio.sleep(1)
    assert rig.sink.in_flight == 3
    rig.sink.release()
    await rig.release.flush(10)
    assert rig.arrived() == set(range(8))
    await rig.end()


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
async def test_full_is_a_bound_in_bytes() -> None:
    """The release is full from its bound on and has room after deliveries."""
    rig = Rig(Sink(), ReleaseSettings(held_bytes_max=kept(1).size_bytes * 2))
    rig.sink.refuse()
    rig.offer(1)
    assert not rig.release.full
    rig.offer(2)
    assert rig.release.full
    rig.sink.take()
    await rig.release.flush(60)
    assert not rig.release.full
    await rig.end()


@pytest.mark.parametrize("answer", ["hold", "refuse", "poison"])
def test_what_is_left_at_the_end_is_lost_by_name(answer: str) -> None:
    """Under way, waiting for a retry or queued: terminated spans are counted."""

    @virtual_time
    async def scenario() -> None:
        rig = Rig(Sink(), ReleaseSettings(batch_spans_max=4, in_flight_max=1))
        if answer == "hold":
            rig.sink.hold()
        elif answer == "refuse":
            rig.sink.refuse()
        else:
            rig.sink.script([Rejected("invalid_argument", "no"), None])
            rig.sink.refuse()
        rig.offer(1, 2, 3, 4, 5)
        await asyncio.sleep(1)
        delivered = rig.release.spans_delivered
        assert delivered == (SPANS if answer == "poison" else 0)
        await rig.end()
        lost = rig.metrics.value("tailring_sampler_spans_lost", reason="terminated")
        assert lost == 5 * SPANS - delivered

    scenario()


@virtual_time
async def test_a_delivery_that_never_began_is_lost_by_name() -> None:
    """Terminated before its task has run, a batch is counted as lost all the same."""
    rig = Rig(Sink())
    rig.offer(1, 2)
    rig.release.close_batch()
    await rig.end()
    assert rig.metrics.value("tailring_sampler_spans_lost") == 2 * SPANS
