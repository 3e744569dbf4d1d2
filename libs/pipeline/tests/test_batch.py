"""The batch processor: when a batch goes, and who hears what of it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

import pytest

from tailring_otlpwire import count_spans
from tailring_pipeline import (
    Batch,
    BatchConfig,
    BatchProcessor,
    BatchSettings,
    Refused,
    Rejected,
)
from tailring_runtime.metrics import Metrics
from tailring_testkit.otlp import realistic_request, spans_of
from tailring_testkit.sink import Sink
from tailring_testkit.virtual_time import virtual_time


class _Rig:
    """A batch processor in front of a sink, and its metrics."""

    def __init__(
        self,
        written: Mapping[str, Any] | None = None,
        *,
        settings: BatchSettings | None = None,
    ) -> None:
        self.sink = Sink()
        self.metrics = Metrics()
        self.batch = BatchProcessor(
            BatchConfig.model_validate(written or {}),
            consumer=self.sink,
            metrics=self.metrics,
            settings=settings or BatchSettings(quiet_s=0),
        )

    def send(self, items: int = 1, *, payload: bytes = b"x") -> asyncio.Task[None]:
        """A caller that hands one member in."""
        return _spawn(self.batch.consume(Batch(payload, items)))

    def value(self, name: str, **labels: str) -> float:
        """The value of a processor metric."""
        return self.metrics.value(f"otelcol_processor_{name}", **labels)


def _spawn(coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(coro)


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def _now_s() -> float:
    return asyncio.get_running_loop().time()


@virtual_time
async def test_members_go_together_after_the_timeout() -> None:
    """What comes within 200 ms of the first member leaves as one request."""
    rig = _Rig()
    first = rig.send(2, payload=b"ab")
    await asyncio.sleep(0.15)
    second = rig.send(3, payload=b"cd")
    await asyncio.gather(first, second)
    assert rig.sink.batches == [Batch(b"abcd", 5)]
    assert _now_s() == pytest.approx(0.2)
    assert rig.value("batch_timeout_trigger_send") == 1


QUIET = BatchSettings(quiet_s=0.005)


@virtual_time
async def test_a_batch_goes_when_nobody_else_comes() -> None:
    """A client that waits alone is answered after the quiet time, not the timeout."""
    rig = _Rig({"timeout": 10_000_000_000}, settings=QUIET)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await rig.send(3)
    assert loop.time() - began_s == pytest.approx(0.005, abs=0.002)
    assert [batch.items for batch in rig.sink.batches] == [3]
    rig.batch.check_invariants()


@virtual_time
async def test_members_that_keep_coming_go_together() -> None:
    """As long as the pauses are shorter than the quiet time the batch is filled."""
    rig = _Rig({"timeout": 10_000_000_000}, settings=QUIET)
    callers = []
    for _ in range(10):
        callers.append(rig.send(1))
        await asyncio.sleep(0.003)
    await asyncio.gather(*callers)
    assert [batch.items for batch in rig.sink.batches] == [10]


@virtual_time
async def test_the_timeout_ends_a_batch_that_never_gets_quiet() -> None:
    """Members that keep coming wait no longer than the timeout."""
    rig = _Rig({"timeout": 20_000_000}, settings=QUIET)
    callers = []
    for _ in range(20):
        callers.append(rig.send(1))
        await asyncio.sleep(0.003)
    await asyncio.gather(*callers)
    assert len(rig.sink.batches) in (3, 4)


@virtual_time
async def test_a_large_enough_batch_goes_at_once() -> None:
    """send_batch_size items end the waiting."""
    rig = _Rig({"send_batch_size": 5})
    await asyncio.gather(rig.send(2), rig.send(3))
    assert _now_s() == 0
    assert rig.value("batch_batch_size_trigger_send") == 1
    assert rig.value("batch_batch_send_size") == 1


@virtual_time
async def test_the_next_batch_has_a_timeout_of_its_own() -> None:
    """The wait counts from the first member of each batch."""
    rig = _Rig()
    await rig.send()
    await asyncio.sleep(1)
    await rig.send()
    assert _now_s() == pytest.approx(1.4)


@pytest.mark.parametrize("written", [{"timeout": 0}, {"send_batch_size": 0}])
@virtual_time
async def test_zero_means_at_once(written: dict[str, Any]) -> None:
    """Without a timeout, or without a size, every member goes at once by itself."""
    rig = _Rig(written)
    await asyncio.gather(rig.send(), rig.send())
    assert len(rig.sink.batches) == 2
    assert _now_s() == 0


@virtual_time
async def test_a_batch_goes_before_a_member_would_make_it_too_large() -> None:
    """send_batch_max_size is kept by sending what is there first."""
    rig = _Rig({"send_batch_size": 8, "send_batch_max_size": 10})
    await asyncio.gather(rig.send(6), rig.send(6), rig.send(4))
    assert [batch.items for batch in rig.sink.batches] == [6, 10]


@virtual_time
async def test_a_member_above_the_maximum_is_cut() -> None:
    """One large request leaves as requests of at most send_batch_max_size spans."""
    payload = realistic_request(25, seed=3)
    rig = _Rig({"send_batch_size": 10, "send_batch_max_size": 10})
    await rig.send(25, payload=payload)
    assert [batch.items for batch in rig.sink.batches] == [10, 10, 5]
    assert all(count_spans(one.payload) == one.items for one in rig.sink.batches)
    assert sorted(spans_of(rig.sink.payload)) == sorted(spans_of(payload))


@virtual_time
async def test_a_cut_member_hears_what_remains() -> None:
    """When a piece is refused, the pieces taken before it are not sent again."""
    payload = realistic_request(25, seed=3)
    rig = _Rig({"send_batch_size": 10, "send_batch_max_size": 10})
    rig.sink.script([None, Refused("full", "later")])
    with pytest.raises(Refused) as caught:
        await rig.send(25, payload=payload)
    rest = caught.value.remaining
    assert rest is not None
    assert rest.items == count_spans(rest.payload) == 15
    assert rig.batch.statistics().delivered == 10
    rig.batch.check_invariants()


@virtual_time
async def test_a_cut_member_adds_its_rejections_up() -> None:
    """Rejected pieces do not stop the others, and their items are counted."""
    payload = realistic_request(25, seed=3)
    rig = _Rig({"send_batch_size": 10, "send_batch_max_size": 10})
    rig.sink.script([None, Rejected("bad", "no"), Rejected("bad", "no", items=2)])
    with pytest.raises(Rejected) as caught:
        await rig.send(25, payload=payload)
    assert caught.value.items == 12


@virtual_time
async def test_a_rejected_piece_remains_when_a_later_one_is_refused() -> None:
    """What remains after a refusal holds the rejected pieces too, none being taken."""
    payload = realistic_request(25, seed=3)
    rig = _Rig({"send_batch_size": 10, "send_batch_max_size": 10})
    rig.sink.script([Rejected("bad", "no"), None, Refused("full", "later")])
    with pytest.raises(Refused) as caught:
        await rig.send(25, payload=payload)
    assert caught.value.items_of(Batch(payload, 25)) == 15


@virtual_time
async def test_garbage_that_must_be_cut_is_rejected() -> None:
    """A member that cannot be read can never be cut, so it is permanent."""
    rig = _Rig({"send_batch_size": 10, "send_batch_max_size": 10})
    with pytest.raises(Rejected):
        await rig.send(25, payload=b"\xff\xff")


@virtual_time
async def test_members_wait_for_the_answer_of_their_batch() -> None:
    """Nothing is acknowledged before the next stage took the batch."""
    rig = _Rig()
    rig.sink.hold()
    caller = rig.send()
    await rig.sink.wait_in_flight(1)
    assert not caller.done()
    rig.sink.release()
    await caller
    assert rig.value("outgoing_items") == 1


@virtual_time
async def test_a_refused_batch_is_refused_to_every_member() -> None:
    """Each member hears the refusal and the wait that it asks for."""
    rig = _Rig()
    rig.sink.refuse(retry_after_s=7)
    answers = await asyncio.gather(rig.send(), rig.send(), return_exceptions=True)
    assert [type(one) for one in answers] == [Refused] * 2
    assert all(isinstance(a, Refused) and a.retry_after_s == 7 for a in answers)
    assert answers[0] is not answers[1]
    assert rig.batch.statistics().returned == 2
    assert rig.value("outgoing_items") == 0


@virtual_time
async def test_a_bad_member_takes_no_other_with_it() -> None:
    """When a joined batch is rejected its halves are sent, until the bad one is
    alone."""

    class Strict:
        def __init__(self) -> None:
            self.calls: list[bytes] = []

        async def consume(self, batch: Batch) -> None:
            self.calls.append(batch.payload)
            if b"bad" in batch.payload:
                raise Rejected("invalid_argument", "not this")

    strict = Strict()
    batch = BatchProcessor(BatchConfig(), consumer=strict, metrics=Metrics())
    members = [b"one", b"bad", b"two"]
    answers = await asyncio.gather(
        *(batch.consume(Batch(member, 1)) for member in members),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [type(None), Rejected, type(None)]
    assert strict.calls == [b"onebadtwo", b"one", b"badtwo", b"bad", b"two"]
    batch.check_invariants()


@virtual_time
async def test_what_no_member_is_to_blame_for_is_not_taken_apart() -> None:
    """Without permission every member would be rejected: none is sent a second time,
    and each hears it as an exception of its own."""
    rig = _Rig()
    rig.sink.script([Rejected("permission_denied", "no")])
    answers = await asyncio.gather(rig.send(2), rig.send(3), return_exceptions=True)
    assert [type(one) for one in answers] == [Rejected] * 2
    assert answers[0] is not answers[1]
    assert len(rig.sink.turned_away) == 1
    assert rig.batch.statistics().returned == 5


@virtual_time
async def test_parts_of_a_rejected_batch_are_sent_at_the_same_time() -> None:
    """Members who wait for a batch that is taken apart do not queue behind each
    other."""
    rig = _Rig({"send_batch_size": 64, "timeout": "100ms"})
    rig.sink.script([Rejected("invalid_argument", "no")] * 31)
    rig.sink.hold()
    callers = [rig.send() for _ in range(64)]
    seen = []
    while not all(caller.done() for caller in callers):
        await _settle()
        seen.append(rig.sink.in_flight)
        rig.sink.release()
        rig.sink.hold()
    assert max(seen) == 16
    await asyncio.gather(*callers)
    rig.batch.check_invariants()


@virtual_time
async def test_a_rejected_single_member_is_not_sent_again() -> None:
    """A batch of one is its own proof."""
    rig = _Rig()
    rig.sink.reject()
    with pytest.raises(Rejected):
        await rig.send()
    assert len(rig.sink.turned_away) == 1


@virtual_time
async def test_a_partial_rejection_is_shared_out() -> None:
    """The rejected items of a batch are told once in sum, and nothing is sent again."""
    rig = _Rig()
    rig.sink.reject(items=4)
    answers = await asyncio.gather(
        rig.send(3), rig.send(3), rig.send(3), return_exceptions=True
    )
    told = [one.items for one in answers if isinstance(one, Rejected)]
    assert told == [3, 1]
    assert answers[2] is None
    assert len(rig.sink.turned_away) == 1
    assert rig.value("outgoing_items") == 5


@virtual_time
async def test_too_much_waiting_is_refused() -> None:
    """Beyond the bounds in items or bytes a member is refused at the door."""
    for settings in (BatchSettings(items_max=5), BatchSettings(bytes_max=5)):
        rig = _Rig(settings=settings)
        caller = rig.send(4, payload=b"abcd")
        await _settle()
        with pytest.raises(Refused, match="too much waits"):
            await rig.send(2, payload=b"ab")
        await caller


@virtual_time
async def test_one_large_member_is_taken_when_nothing_waits() -> None:
    """A member above the bounds passes alone, or it could never pass."""
    rig = _Rig(settings=BatchSettings(items_max=5))
    await rig.send(50)
    assert rig.sink.items == 50


@virtual_time
async def test_several_batches_are_in_flight() -> None:
    """A slow answer does not hold the next batch up."""
    rig = _Rig({"send_batch_size": 1})
    rig.sink.hold()
    callers = [rig.send() for _ in range(3)]
    await rig.sink.wait_in_flight(3)
    rig.sink.release()
    await asyncio.gather(*callers)


@virtual_time
async def test_a_drain_sends_what_waits_at_once() -> None:
    """Closing does not let a half-filled batch wait for its timeout."""
    rig = _Rig({"timeout": "60s"})
    caller = rig.send()
    await _settle()
    rig.batch.close()
    await rig.batch.join(30)
    await caller
    assert _now_s() == 0


@virtual_time
async def test_those_who_wait_at_the_end_are_told() -> None:
    """Termination refuses to the members that wait and to those in flight."""
    rig = _Rig({"send_batch_size": 2, "timeout": "60s"})
    rig.sink.hold()
    callers = [rig.send(2), rig.send(1)]
    await rig.sink.wait_in_flight(1)
    await rig.batch.terminate()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Refused] * 2
    assert rig.batch.statistics().returned == 3
    rig.batch.check_invariants()


@virtual_time
async def test_an_empty_batch_is_taken_and_not_sent() -> None:
    """A batch without items joins nothing and waits for nothing."""
    rig = _Rig()
    await rig.batch.consume(Batch(b"", 0))
    await asyncio.sleep(1)
    assert rig.sink.batches == []
