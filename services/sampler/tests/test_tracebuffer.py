"""The structures of the trace buffer beyond what the transcripts show."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailring_otlpwire import HeaderCache, TraceSlice, chunk, group, join
from tailring_sampler.doors import Decision, Door
from tailring_sampler.record import TraceRecord
from tailring_sampler.timewheel import PASSED_MAX, STALE_MAX
from tailring_sampler.tracebuffer import TraceBuffer
from tailring_testkit import otlp, requests

SECOND_NS = 1_000_000_000


def slices(*numbers: int, spans: int = 1) -> list[TraceSlice]:
    """One request's slices of these traces."""
    built = [
        otlp.span(number.to_bytes(16, "big"), serial.to_bytes(8, "big"))
        for number in numbers
        for serial in range(spans)
    ]
    return group(otlp.request(*built), HeaderCache(4))


def buffer_of(traces_max: int = 1000, *, from_last: bool = False) -> TraceBuffer:
    """A buffer that waits for five seconds."""
    return TraceBuffer(
        traces_max=traces_max, wait_ns=5 * SECOND_NS, from_last=from_last
    )


def drop(buffer: TraceBuffer, records: list[TraceRecord], now_ns: int) -> None:
    """Decide these records against them."""
    for record in records:
        buffer.decide(record, Decision.NOT_SAMPLED, Door.DECIDED, now_ns=now_ns)


def test_at_most_the_asked_number_is_due_at_once() -> None:
    """Due traces can be taken in portions; none is lost or given twice."""
    buffer = buffer_of()
    buffer.add(slices(*range(100)), 0)
    taken: list[bytes] = []
    for size in (30, 30, 30, 10, 0):
        records = buffer.take_due(5 * SECOND_NS, 30)
        assert len(records) == size
        taken += [record.trace_id for record in records]
        drop(buffer, records, 5 * SECOND_NS)
        buffer.check_invariants()
    assert len(set(taken)) == 100


def test_nothing_is_due_before_its_time() -> None:
    """A trace is not given out a nanosecond early."""
    buffer = buffer_of()
    buffer.add(slices(1), 3)
    assert not buffer.take_due(5 * SECOND_NS + 2, 10)


def test_a_due_trace_is_noticed_within_a_slot() -> None:
    """A deadline between two slots is noticed at most 100 ms late."""
    buffer = buffer_of()
    buffer.add(slices(1), 3)
    assert buffer.take_due(5 * SECOND_NS + 100_000_000, 10)


def test_a_clock_that_jumps_loses_nothing() -> None:
    """After a day's stall all that was held is due."""
    buffer = buffer_of()
    for number in range(50):
        buffer.add(slices(number), number * SECOND_NS)
    assert len(buffer.take_due(86_400 * SECOND_NS, 1000)) == 50


def test_an_eviction_storm_keeps_the_structures_small() -> None:
    """Entries of traces that were evicted are cleared away, not collected."""
    buffer = buffer_of(traces_max=10)
    for number in range(0, 20_000, 10):
        buffer.add(slices(*range(number, number + 10)), number)
    buffer.check_invariants()
    assert buffer.traces_left[(Door.EVICTED, Decision.PENDING)] == 19_990
    assert buffer.statistics()["wheel_entries"] <= 2 * 10 + STALE_MAX


def test_forgotten_decisions_keep_the_fifo_small() -> None:
    """Records that another memory took over leave no growing trail behind."""
    buffer = buffer_of(traces_max=100_000)
    for number in range(5000):
        buffer.add(slices(number), number)
        record = buffer.get(number.to_bytes(16, "big"))
        assert record is not None
        drop(buffer, [record], number)
        buffer.forget(record)
    buffer.check_invariants()
    assert buffer.statistics()["fifo_entries"] <= STALE_MAX


def test_handed_off_traces_keep_the_wheel_small() -> None:
    """A buffer that gives everything up holds no entries for what it gave."""
    buffer = buffer_of(traces_max=100_000)
    buffer.add(slices(*range(5000)), 0)
    for number in range(5000):
        assert buffer.give_up(number.to_bytes(16, "big"), 1) is not None
    buffer.check_invariants()
    assert buffer.statistics()["wheel_entries"] <= STALE_MAX


def test_an_evicted_and_reborn_trace_is_another_one() -> None:
    """A tombstone of the first life does not push out the second one."""
    buffer = buffer_of(traces_max=2)
    buffer.add(slices(1), 0)
    record = buffer.get((1).to_bytes(16, "big"))
    assert record is not None
    drop(buffer, [record], 0)
    buffer.forget(record)
    buffer.add(slices(2), 1)
    buffer.add(slices(1), 2)
    buffer.add(slices(3), 3)
    pending = {record.trace_id[-1] for record in buffer.records()}
    assert pending == {1, 3}


def test_a_silent_trace_moves_its_deadline_without_new_entries() -> None:
    """Spans that move a deadline later cost no entry in the wheel."""
    buffer = buffer_of(from_last=True)
    for step in range(1000):
        buffer.add(slices(1), step * 1_000_000)
    assert buffer.statistics()["wheel_entries"] == 1
    assert not buffer.take_due(5 * SECOND_NS + 900_000_000, 10)
    assert buffer.take_due(6 * SECOND_NS, 10)


def test_moved_deadlines_are_looked_at_in_portions() -> None:
    """One call passes over a bounded number of entries, and `is_due` tells of more."""
    buffer = buffer_of(from_last=True, traces_max=10_000)
    buffer.add(slices(*range(2 * PASSED_MAX + 1)), 0)
    buffer.add(slices(*range(2 * PASSED_MAX)), SECOND_NS)
    for taken in (0, 0, 1):
        assert buffer.is_due(5 * SECOND_NS)
        records = buffer.take_due(5 * SECOND_NS, 10)
        assert len(records) == taken
        drop(buffer, records, 5 * SECOND_NS)
        buffer.check_invariants()
    assert not buffer.is_due(5 * SECOND_NS)
    assert buffer.is_due(6 * SECOND_NS)
    assert len(buffer.take_due(6 * SECOND_NS, 10_000)) == 2 * PASSED_MAX


def test_nothing_held_is_never_due() -> None:
    """An empty buffer, and one whose traces are all to come, have nothing to do."""
    buffer = buffer_of()
    assert not buffer.is_due(10**18)
    buffer.add(slices(1), 3)
    assert not buffer.is_due(5 * SECOND_NS - 1)


def test_pieces_of_one_header_become_one() -> None:
    """A trace of many requests with one resource and scope is held as one piece."""
    buffer = buffer_of()
    headers = HeaderCache(4)
    sent = [otlp.realistic_request(8, seed) for seed in (1, 1, 1)]
    for payload in sent:
        for part in chunk(payload, 1):
            buffer.add(group(part, headers), 0)
    (record,) = buffer.records()
    assert len(record.pieces) == len(record.parts) // 3 < 24
    assert sorted(otlp.spans_of(join(record.pieces))) == sorted(
        span for payload in sent for span in otlp.spans_of(payload)
    )


def test_bytes_held_count_encoded_spans() -> None:
    """The byte counter is the size of the spans held, and returns to zero."""
    buffer = buffer_of()
    buffer.add(slices(1, 2, spans=3), 0)
    held = sum(
        len(piece.spans) for record in buffer.records() for piece in record.pieces
    )
    assert buffer.bytes_held == held > 0
    drop(buffer, list(buffer.records()), 0)
    assert buffer.bytes_held == 0


def test_bytes_held_count_each_header_once() -> None:
    """Traces of many pods hold a header each, those of one pod hold one together."""
    headers = HeaderCache(99)
    apart, together = buffer_of(), buffer_of()
    for number in range(50):
        span = otlp.span(number.to_bytes(16, "big"), bytes(8))
        own = {"pod": f"{number:2}" * 500}
        apart.add(group(otlp.request(span, resource=own), headers), 0)
        shared = {"pod": "a pod" * 200}
        together.add(group(otlp.request(span, resource=shared), headers), 0)
    assert apart.bytes_held > 50 * 1000
    assert 1000 < together.bytes_held < 50 * 100 + 2000
    for buffer in (apart, together):
        buffer.check_invariants()
        drop(buffer, list(buffer.records()), 0)
        assert buffer.bytes_held == 0


@pytest.mark.parametrize("from_last", [False, True])
@given(payloads=st.lists(requests.requests(), max_size=6))
def test_what_goes_in_comes_out(from_last: bool, payloads: list[bytes]) -> None:
    """Every span of every request is in exactly one trace that is given out."""
    buffer = buffer_of(from_last=from_last)
    headers = HeaderCache(8)
    for step, payload in enumerate(payloads):
        buffer.add(group(payload, headers), step * SECOND_NS // 3)
        buffer.check_invariants()
    out: list[otlp.SpanRecord] = []
    end_ns = 100 * SECOND_NS
    for record in buffer.take_due(end_ns, 10_000):
        pieces = buffer.decide(record, Decision.SAMPLED, Door.DECIDED, now_ns=end_ns)
        out += otlp.spans_of(join(pieces))
    sent = [span for payload in payloads for span in otlp.spans_of(payload)]
    assert sorted(out) == sorted(sent)
    assert buffer.spans_held == buffer.bytes_held == 0


class History:
    """A random walk through everything that can happen to a buffer."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.buffer = TraceBuffer(
            traces_max=self.rng.choice([1, 5, 40]),
            wait_ns=self.rng.choice([1, 300_000_000, 5 * SECOND_NS]),
            from_last=self.rng.random() < 0.5,
        )
        self.now_ns = 0

    def step(self) -> None:
        """Do one random thing."""
        self.now_ns += self.rng.choice([0, 1, 50_000_000, SECOND_NS])
        actions = [self.arrive] * 6 + [self.judge] * 2
        actions += [self.hold, self.give, self.take_in, self.forget, self.learn]
        self.rng.choice(actions)()
        self.buffer.check_invariants()

    def some(self) -> list[int]:
        """A few trace numbers out of sixty."""
        return self.rng.sample(range(60), self.rng.randrange(1, 6))

    def arrive(self) -> None:
        """Spans arrive."""
        self.buffer.add(slices(*self.some()), self.now_ns)

    def take_in(self) -> None:
        """A trace comes from another sampler with its age."""
        age_ns = self.rng.randrange(10 * SECOND_NS)
        self.buffer.add(slices(self.rng.randrange(60)), self.now_ns, age_ns=age_ns)

    def judge(self) -> None:
        """Due traces are decided."""
        for record in self.buffer.take_due(self.now_ns, self.rng.randrange(1, 9)):
            assert record.due_ns <= self.now_ns
            assert not record.held
            decision = self.rng.choice([Decision.SAMPLED, Decision.NOT_SAMPLED])
            self.buffer.decide(record, decision, Door.DECIDED, now_ns=self.now_ns)

    def picked(self, *, pending: bool) -> TraceRecord | None:
        """One record of that state, if there is any."""
        records = [
            record
            for record in self.buffer.records()
            if (record.decision is Decision.PENDING) is pending
        ]
        return self.rng.choice(records) if records else None

    def hold(self) -> None:
        """A pending trace is held, or let go."""
        record = self.picked(pending=True)
        if record is not None:
            self.buffer.set_held(record, held=not record.held)

    def give(self) -> None:
        """A pending trace is handed off."""
        record = self.picked(pending=True)
        if record is not None:
            spans = record.summary.span_count
            handed = self.buffer.give_up(record.trace_id, self.now_ns)
            assert handed is not None
            assert len(otlp.spans_of(handed.payload)) == spans

    def forget(self) -> None:
        """A decided trace goes into a cache."""
        record = self.picked(pending=False)
        if record is not None:
            self.buffer.forget(record)

    def learn(self) -> None:
        """A decision comes from elsewhere."""
        trace_id = self.rng.randrange(60).to_bytes(16, "big")
        if self.buffer.get(trace_id) is None:
            self.buffer.remember(trace_id, Decision.NOT_SAMPLED, now_ns=self.now_ns)

    def end(self) -> None:
        """The process stops: all that is held is decided."""
        self.buffer.expire_all(self.now_ns)
        for record in self.buffer.take_due(self.now_ns, 10_000):
            self.buffer.decide(
                record,
                Decision.SAMPLED,
                Door.DECIDED_EARLY_SHUTDOWN,
                now_ns=self.now_ns,
            )
        self.buffer.check_invariants()
        assert self.buffer.spans_held == 0


@pytest.mark.parametrize("seed", range(60))
def test_random_histories_keep_the_invariants(seed: int) -> None:
    """After each of hundreds of random steps every counter balances."""
    history = History(seed)
    for _ in range(300):
        history.step()
    history.end()
