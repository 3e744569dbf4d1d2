"""Kept traces on their way out: batches, limits, the end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.sampler.tests.release_rig import (
    REQUEST_BYTES,
    SPANS,
    Rig,
    kept,
    kept_of,
    large,
)

from tailring_otlpwire import HeaderCache, group
from tailring_pipeline import Rejected
from tailring_runtime.metrics import Metrics
from tailring_sampler.release import Release, ReleaseSettings
from tailring_sampler.release_batch import ReleaseBatch
from tailring_testkit import otlp, requests
from tailring_testkit.sink import Sink
from tailring_testkit.virtual_time import virtual_time


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
    rig = Rig(Sink(), ReleaseSettings(batch_bytes_max=3 * REQUEST_BYTES))
    rig.offer(*range(10))
    await rig.release.flush(1)
    assert 3 <= len(rig.sink.batches) < 10
    assert all(len(b.payload) <= 3 * REQUEST_BYTES for b in rig.sink.batches)
    assert rig.arrived() == set(range(10))
    await rig.end()


@virtual_time
async def test_headers_count_in_the_size_of_a_batch() -> None:
    """Traces of many pods, whose resources outweigh their spans, keep the bound."""
    rig = Rig(Sink(), ReleaseSettings(batch_bytes_max=20_000))
    headers = HeaderCache(4)
    for number in range(100):
        request = otlp.request(
            otlp.span(number.to_bytes(16, "big"), bytes(8)),
            resource={"pod": f"{number}" * 400},
        )
        (part,) = group(request, headers)
        rig.release.offer(kept_of(part))
    assert rig.release.bytes_held > 100 * 400
    await rig.release.flush(1)
    assert all(len(b.payload) <= 20_000 for b in rig.sink.batches)
    assert rig.arrived() == set(range(100))
    await rig.end()


@virtual_time
async def test_a_shared_header_counts_once() -> None:
    """A thousand traces of one pod leave together: its resource is sent once."""
    rig = Rig(Sink(), ReleaseSettings(batch_bytes_max=100_000))
    headers = HeaderCache(4)
    for number in range(1000):
        request = otlp.request(
            otlp.span(number.to_bytes(16, "big"), bytes(8)),
            resource={"pod": "p" * 10_000},
        )
        (part,) = group(request, headers)
        rig.release.offer(kept_of(part))
    held_bytes = rig.release.bytes_held
    await rig.release.flush(1)
    (batch,) = rig.sink.batches
    assert len(batch.payload) <= held_bytes < len(batch.payload) + 50
    await rig.end()


@given(st.lists(requests.requests(), max_size=5))
def test_the_size_of_a_batch_bounds_its_request(payloads: list[bytes]) -> None:
    """Whatever the traces are, their request is no larger than the batch says."""
    headers = HeaderCache(8)
    batch = ReleaseBatch(1)
    for payload in payloads:
        for part in group(payload, headers):
            batch.add(kept_of(part), bytes_max=1 << 30)
    (request,) = batch.requests(batch.traces, bytes_max=1 << 30)
    assert len(request.payload) <= batch.size_bytes
    assert request.items == batch.spans


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


@virtual_time
async def test_a_large_trace_is_cut() -> None:
    """A trace above the bound of a message leaves in several, each within it."""
    bound = 10_000
    rig = Rig(Sink(), ReleaseSettings(batch_bytes_max=bound))
    rig.offer(1)
    rig.release.offer(large(100, span_bytes=1000))
    rig.offer(2)
    await rig.release.flush(1)
    assert all(len(batch.payload) <= bound for batch in rig.sink.batches)
    assert all(
        batch.items == len(otlp.spans_of(batch.payload)) for batch in rig.sink.batches
    )
    assert rig.arrived() == {0, 1, 2}
    assert rig.sink.items == 100 + 2 * SPANS
    await rig.end()


@virtual_time
async def test_a_span_above_the_bound_is_sent_alone() -> None:
    """What cannot be cut further is sent as it is; its neighbours keep the bound."""
    rig = Rig(Sink(), ReleaseSettings(batch_bytes_max=500))
    rig.release.offer(large(3, span_bytes=1000))
    await rig.release.flush(1)
    assert [batch.items for batch in rig.sink.batches] == [1, 1, 1]
    await rig.end()


@virtual_time
async def test_large_headers_are_not_repeated_without_end() -> None:
    """Tiny spans below a resource above the bound do not become many times as much."""
    span = [
        otlp.span(bytes(16), serial.to_bytes(8, "big")) for serial in range(1, 1001)
    ]
    (part,) = group(otlp.request(*span, resource={"big": "x" * 5000}), HeaderCache(4))
    rig = Rig(Sink(), ReleaseSettings(batch_bytes_max=4000))
    rig.release.offer(kept_of(part))
    await rig.release.flush(1)
    assert rig.sink.items == 1000
    size_bytes = int(part.byte_count) + 5000
    assert sum(len(batch.payload) for batch in rig.sink.batches) < 2.1 * size_bytes
    await rig.end()


@virtual_time
async def test_a_bug_of_the_listener_holds_nothing() -> None:
    """When ``on_delivered`` raises, no span stays held and none is lost by that."""
    rig = Rig(Sink())
    rig.sink.script([Rejected("invalid_argument", "sent again in halves")])

    def fail(_trace_ids: Sequence[bytes]) -> None:
        raise RuntimeError("a bug")

    release = Release(
        ReleaseSettings(),
        consumer=rig.sink,
        metrics=Metrics(),
        processor="tail_sampling",
        on_delivered=fail,
    )
    release.offer(kept(1))
    release.offer(kept(2))
    await release.flush(1)
    release.check_invariants()
    assert (release.spans_held, release.bytes_held) == (0, 0)
    assert release.spans_delivered == 2 * SPANS
    await release.terminate()
