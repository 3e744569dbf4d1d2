"""Decisions do not depend on how spans come, and every span is accounted for."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailring_otlpwire import WireError, chunk, join
from tailring_sampler.config import TailSamplingConfig
from tailring_sampler.doors import Decision
from tailring_sampler.processor import build_sampler
from tailring_sampler.sampler import Sampler
from tailring_testkit import otlp, requests

SECOND_NS = 1_000_000_000
SEED_POLICIES = [
    {
        "name": "errors",
        "type": "status_code",
        "status_code": {"status_codes": ["ERROR"]},
    },
    {"name": "slow", "type": "latency", "latency": {"threshold_ms": 500}},
    {
        "name": "some",
        "type": "probabilistic",
        "probabilistic": {"sampling_percentage": 10},
    },
]


def sampler_of(**keys: object) -> Sampler:
    """A sampler of the seed's three policies."""
    written = {"policies": SEED_POLICIES, "decision_wait": "5s", **keys}
    return build_sampler(TailSamplingConfig.model_validate(written))


def decided(sampler: Sampler, payloads: list[bytes]) -> dict[bytes, Decision]:
    """The decisions on what these requests bring."""
    for payload in payloads:
        sampler.ingest(payload, 0)
    sampler.expire_all(0)
    while sampler.judge_due(0, traces_max=7)[0]:
        sampler.check_invariants()
    return dict(sampler.known_decisions())


@given(st.lists(requests.requests(), max_size=3), st.integers(1, 3), st.randoms())
def test_decisions_do_not_depend_on_the_cut(
    payloads: list[bytes], spans_max: int, rng: random.Random
) -> None:
    """Cut into other requests, in the same order, the same traces are kept."""
    whole = decided(sampler_of(), payloads)
    pieces = [
        part
        for payload in payloads
        for part in chunk(payload, rng.randint(1, spans_max))
    ]
    assert decided(sampler_of(), pieces) == whole
    assert decided(sampler_of(), [b"".join(payloads)]) == whole


@given(st.lists(requests.requests(), max_size=3))
def test_kept_traces_are_whole(payloads: list[bytes]) -> None:
    """A kept trace leaves with exactly its spans, resources and scopes."""
    sampler = sampler_of(
        policies=[{"name": "all", "type": "always_sample"}],
    )
    for payload in payloads:
        sampler.ingest(payload, 0)
    _, kept = sampler.judge_due(6 * SECOND_NS, traces_max=10_000)
    out = [span for one in kept for span in otlp.spans_of(join(one.pieces))]
    sent = [span for payload in payloads for span in otlp.spans_of(payload)]
    assert sorted(out) == sorted(sent)
    assert all(one.policy == "all" for one in kept)


def test_a_malformed_request_changes_nothing() -> None:
    """What cannot be read is refused as a whole."""
    sampler = sampler_of()
    good = otlp.realistic_request(8, 1)
    with pytest.raises(WireError):
        sampler.ingest(good + b"\x0a\xff", 0)
    assert sampler.buffer.spans_received == 0
    sampler.check_invariants()


def test_the_policy_that_kept_a_trace_is_named() -> None:
    """A kept trace carries the first policy that voted for it."""
    sampler = sampler_of()
    span = otlp.span(bytes(16), bytes(8), status=2)
    sampler.ingest(otlp.request(span), 0)
    _, kept = sampler.judge_due(5 * SECOND_NS, traces_max=1)
    assert [one.policy for one in kept] == ["errors"]


def test_late_spans_carry_no_policy() -> None:
    """A span that follows a decision is released without a policy."""
    sampler = sampler_of()
    payload = otlp.request(otlp.span(bytes(16), bytes(8), status=2))
    sampler.ingest(payload, 0)
    sampler.judge_due(5 * SECOND_NS, traces_max=1)
    (late,) = sampler.ingest(payload, 8 * SECOND_NS)
    assert (late.policy, late.spans) == (None, 1)
    assert sampler.late_ages_s == {3: 1}


@pytest.mark.parametrize("seed", range(20))
def test_every_span_is_accounted_for(seed: int) -> None:
    """Over a random history, received is held plus what left by each door."""
    rng = random.Random(seed)
    cache = rng.choice([0, 5, 1000])
    sampler = sampler_of(
        num_traces=rng.choice([3, 50, 10_000]),
        decision_cache={"sampled_cache_size": cache, "non_sampled_cache_size": cache},
        decision_wait_from=rng.choice(["first", "last"]),
    )
    ids = otlp.trace_ids(80, seed=seed)
    now_ns = sent = released = 0
    for step in range(300):
        now_ns += rng.choice([0, 30_000_000, SECOND_NS])
        spans = [
            otlp.span(
                rng.choice(ids), step.to_bytes(8, "big"), status=rng.choice([0, 2])
            )
            for _ in range(rng.randrange(5))
        ]
        sent += len(spans)
        released += sum(
            one.spans for one in sampler.ingest(otlp.request(*spans), now_ns)
        )
        _, kept = sampler.judge_due(now_ns, traces_max=rng.randrange(1, 6))
        released += sum(one.spans for one in kept)
        sampler.check_invariants()
    buffer = sampler.buffer
    left = buffer.spans_left
    assert buffer.spans_received == sent
    assert released == sum(
        spans for (_, decision), spans in left.items() if decision is Decision.SAMPLED
    )
