"""What became of a trace can be told, and the memory for it is bounded."""

from __future__ import annotations

import pytest

from tailring_runtime.pages import BadQuery, Pages
from tailring_sampler.config import TailSamplingConfig
from tailring_sampler.decision_log import DecisionLog, Departure, PolicyAnswer
from tailring_sampler.doors import Decision, Door
from tailring_sampler.explanation import Explanation, explain
from tailring_sampler.judge import NamedPolicy
from tailring_sampler.pages import add_sampler_pages
from tailring_sampler.policies import AlwaysSample, Trace, Vote
from tailring_sampler.processor import build_sampler
from tailring_sampler.sampler import Sampler
from tailring_testkit import otlp

SECOND_NS = 1_000_000_000
KEPT, DROPPED, OTHER = (bytes([n]) * 16 for n in (1, 2, 3))
POLICIES = [
    {
        "name": "errors",
        "type": "status_code",
        "status_code": {"status_codes": ["ERROR"]},
    },
    {"name": "slow", "type": "latency", "latency": {"threshold_ms": 500}},
]


class Held:
    """A processor as the pages see it, a minute after the start."""

    name = "tail_sampling"
    now_ns = 60 * SECOND_NS

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler


class Broken:
    """A plug-in whose reasons fail."""

    def evaluate(self, trace: Trace, now_ns: int) -> Vote:
        """Keep."""
        return Vote.SAMPLED

    def fact(self, trace: Trace) -> int:
        """Fail."""
        raise KeyError("fact")

    def why(self, trace_id: bytes, fact: int) -> str:
        """Say something."""
        return f"{fact}"


def sampler_of(**keys: object) -> Sampler:
    """A sampler that keeps errors and slow traces."""
    written = {"policies": POLICIES, "decision_wait": "5s", **keys}
    return build_sampler(TailSamplingConfig.model_validate(written))


def send(sampler: Sampler, trace_id: bytes, *, status: int = 0, at_s: int = 0) -> None:
    """One span that lasts 10 ms."""
    span = otlp.span(trace_id, bytes(8), status=status, start_ns=1, end_ns=10_000_001)
    sampler.ingest(otlp.request(span), at_s * SECOND_NS)


def told(sampler: Sampler, trace_id: bytes, at_s: int = 10) -> Explanation:
    """The answer at a time."""
    return explain(sampler, trace_id, at_s * SECOND_NS)


def test_a_decision_is_told_with_every_vote_and_its_values() -> None:
    """A kept and a dropped trace are told with policy, age, spans, votes, reasons."""
    sampler = sampler_of()
    send(sampler, KEPT, status=2)
    send(sampler, DROPPED)
    assert told(sampler, KEPT, 1).state == "held"
    sampler.judge_due(6 * SECOND_NS, traces_max=10)
    kept, dropped = told(sampler, KEPT), told(sampler, DROPPED)
    assert (kept.state, kept.policy, kept.spans) == ("kept", "errors", 1)
    assert (kept.at_ns, kept.age_ns) == (6 * SECOND_NS, 6 * SECOND_NS)
    slow = PolicyAnswer("slow", "not_sampled", "10 ms, kept above 500 ms")
    assert kept.answers == (
        PolicyAnswer("errors", "sampled", "spans have ERROR, kept for ERROR"),
        slow,
    )
    assert (dropped.state, dropped.policy) == ("dropped", None)
    assert dropped.answers == (
        PolicyAnswer("errors", "not_sampled", "spans have UNSET, kept for ERROR"),
        slow,
    )


@pytest.mark.parametrize("cache", [0, 100])
def test_late_spans_are_told_beside_the_decision(cache: int) -> None:
    """Spans after the decision are counted, with and without a decision cache."""
    sampler = sampler_of(decision_cache={"sampled_cache_size": cache})
    send(sampler, KEPT, status=2)
    sampler.judge_due(6 * SECOND_NS, traces_max=10)
    send(sampler, KEPT, at_s=7)
    send(sampler, KEPT, at_s=8)
    answer = told(sampler, KEPT)
    assert (answer.state, answer.spans, answer.late_spans) == ("kept", 1, 2)
    assert answer.note == "late spans followed the decision"


@pytest.mark.parametrize("cache", [0, 100])
def test_a_decision_without_a_record_is_late(cache: int) -> None:
    """What only the memory for late spans knows is told as late, with its decision."""
    sampler = sampler_of(
        decision_cache={"sampled_cache_size": cache}, explain_max_bytes=0
    )
    send(sampler, KEPT, status=2)
    sampler.judge_due(6 * SECOND_NS, traces_max=10)
    answer = told(sampler, KEPT)
    assert (answer.state, answer.decision) == ("late", Decision.SAMPLED)


def test_evicted_and_unknown_traces_are_told() -> None:
    """A trace that was pushed out is evicted; one that never came is unknown."""
    sampler = sampler_of(num_traces=1)
    send(sampler, KEPT)
    send(sampler, OTHER, at_s=2)
    answer = told(sampler, KEPT)
    assert (answer.state, answer.age_ns, answer.spans) == ("evicted", 2 * SECOND_NS, 1)
    assert told(sampler, DROPPED).state == "unknown"


@pytest.mark.parametrize("door", [Door.DISCARDED, Door.ABANDONED])
def test_traces_let_go_at_shutdown_are_told(door: Door) -> None:
    """A pending trace that was let go is told by its door."""
    sampler = sampler_of()
    send(sampler, KEPT)
    sampler.discard_pending(door, SECOND_NS)
    assert told(sampler, KEPT).state == door.value


def test_the_newest_decision_on_an_id_is_told() -> None:
    """When an id comes again after it was forgotten, the later decision counts."""
    sampler = sampler_of(num_traces=1)
    send(sampler, KEPT)
    sampler.judge_due(6 * SECOND_NS, traces_max=10)
    send(sampler, OTHER, at_s=7)
    send(sampler, KEPT, status=2, at_s=8)
    assert told(sampler, KEPT).state == "held"
    sampler.judge_due(14 * SECOND_NS, traces_max=10)
    assert told(sampler, KEPT, 15).state == "kept"


@pytest.mark.parametrize("bytes_max", [1, 1_000, 100_000])
def test_the_log_is_bounded_and_keeps_the_newest(bytes_max: int) -> None:
    """Never more bytes than allowed are held and the newest records stay findable."""
    log = DecisionLog(bytes_max, [])
    ids = [n.to_bytes(16, "big") for n in range(1, 5_001)]
    for at, trace_id in enumerate(ids):
        gone = Departure(trace_id, 1, 100, 5)
        log.left(gone, Door.EVICTED, decision=Decision.PENDING, now_ns=at)
        log.left(gone, Door.LATE, decision=Decision.SAMPLED, now_ns=at)
        assert log.size_bytes <= bytes_max
    listed = [entry.trace_id for entry in log.recent()]
    assert listed == ids[len(ids) - len(listed) :][::-1]
    assert len(listed) >= bytes_max // 100
    assert log.find(ids[0]) is None
    for trace_id in listed:
        found = log.find(trace_id)
        assert found is not None
        assert found.trace_id == trace_id


def test_a_plug_in_whose_reasons_fail_costs_its_reason_only() -> None:
    """A policy that cannot say its value is shown with its vote all the same."""
    named = [NamedPolicy("broken", Broken()), NamedPolicy("all", AlwaysSample())]
    sampler = sampler_of()
    sampler.log = DecisionLog(1_000_000, named)
    sampler.judge = type(sampler.judge)(named)
    send(sampler, KEPT)
    sampler.judge_due(6 * SECOND_NS, traces_max=10)
    assert told(sampler, KEPT).answers == (
        PolicyAnswer("broken", "sampled", "the value was not recorded"),
        PolicyAnswer("all", "sampled", "keeps every trace"),
    )


def test_the_pages_show_the_newest_and_one() -> None:
    """`tracez` lists decisions and answers for an id; `policyz` counts votes."""
    sampler = sampler_of()
    send(sampler, KEPT, status=2)
    sampler.judge_due(6 * SECOND_NS, traces_max=10)
    pages = Pages()
    add_sampler_pages(pages, lambda: [Held(sampler)])
    (newest,) = pages.page("tracez", {}).tables
    assert newest.rows[0][:3] == (KEPT.hex(), "kept", "errors")
    trace, votes = pages.page("tracez", {"trace_id": KEPT.hex()}).tables
    assert trace.rows[0][:4] == ("tail_sampling", "kept", "sampled", "errors")
    assert [row[1:3] for row in votes.rows] == [
        ("errors", "sampled"),
        ("slow", "not_sampled"),
    ]
    (policies,) = pages.page("policyz", {}).tables
    assert [row[:6] for row in policies.rows] == [
        ("errors", 1, 1, 0, 0, 0),
        ("slow", 1, 0, 1, 0, 0),
    ]


@pytest.mark.parametrize("text", ["", "12", "zz" * 16, "01 " * 10 + "01", "01" * 17])
def test_a_wrong_id_is_a_bad_query(text: str) -> None:
    """Anything but 32 hex digits is refused with what was written."""
    pages = Pages()
    add_sampler_pages(pages, list)
    with pytest.raises(BadQuery, match="32 hex digits"):
        pages.page("tracez", {"trace_id": text})


@pytest.mark.parametrize(("most", "said"), [(0, "from 2 on"), (9, "from 2 to 9")])
def test_a_count_of_spans_is_told_with_its_bounds(most: int, said: str) -> None:
    """`span_count` says how many spans there were and between what it keeps."""
    bounds = {"min_spans": 2, "max_spans": most}
    block = {"name": "size", "type": "span_count", "span_count": bounds}
    sampler = sampler_of(policies=[block])
    send(sampler, KEPT)
    sampler.judge_due(6 * SECOND_NS, traces_max=10)
    (answer,) = told(sampler, KEPT).answers
    assert answer == PolicyAnswer("size", "not_sampled", f"1 spans, kept {said}")


@pytest.mark.parametrize(
    ("eviction", "state", "note"),
    [
        ("decide", "kept", "judged early: memory.max_bytes was reached"),
        ("drop", "evicted", "pushed out by memory.max_bytes before it was judged"),
    ],
)
def test_traces_that_leave_for_memory_are_told(
    eviction: str, state: str, note: str
) -> None:
    """A trace that went because memory was short is told with that reason."""
    written = {"policies": POLICIES, "memory": {"eviction": eviction}}
    config = TailSamplingConfig.model_validate(written)
    sampler = build_sampler(config, memory_max_bytes=1)
    send(sampler, KEPT, status=2)
    sampler.relieve(SECOND_NS, traces_max=1)
    answer = told(sampler, KEPT)
    assert (answer.state, answer.note, answer.spans) == (state, note, 1)
