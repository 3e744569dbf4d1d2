"""Thresholds of kept traces: who decides by them, and what spans say."""

from __future__ import annotations

import random
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from tailring_runtime.config import ConfigError
from tailring_sampler.config import TailSamplingConfig
from tailring_sampler.gates import USE_TRACESTATE
from tailring_sampler.processor import build_sampler
from tailring_sampler.sampler import KeptTrace, Sampler
from tailring_sampler.tracestate import NEVER, parse
from tailring_testkit import otlp

ID = bytes(range(1, 17))
ALL = {"name": "all", "type": "always_sample"}
RV_LOW, RV_HIGH = "ot=rv:40000000000000", "ot=rv:80000000000000"


def share(percentage: float) -> dict[str, Any]:
    """A probabilistic policy."""
    block = {"sampling_percentage": percentage}
    return {"name": f"p{percentage}", "type": "probabilistic", "probabilistic": block}


def both(*policies: dict[str, Any]) -> dict[str, Any]:
    """An `and` of policies."""
    block = {"and_sub_policy": list(policies)}
    return {"name": "both", "type": "and", "and": block}


def sampler_of(*policies: dict[str, Any]) -> Sampler:
    """A sampler with the gate on."""
    config = TailSamplingConfig.model_validate({"policies": policies})
    return build_sampler(config, gates={USE_TRACESTATE})


def kept(sampler: Sampler, *states: str, trace_id: bytes = ID) -> list[KeptTrace]:
    """What is kept of one trace with a span for each of the tracestates."""
    spans = [otlp.span(trace_id, bytes([n]) * 8) for n in range(len(states))]
    for span, state in zip(spans, states, strict=True):
        span.trace_state = state
    sampler.ingest(otlp.request(*spans), 0)
    sampler.expire_all(1)
    return sampler.judge_due(1, traces_max=9)[1]


def states_of(traces: list[KeptTrace]) -> list[str]:
    """The tracestates of kept spans."""
    pieces = [piece for trace in traces for piece in trace.pieces]
    fields = b"".join(piece.spans for piece in pieces)
    return [span.trace_state for span in ScopeSpans.FromString(fields).spans]


@pytest.mark.parametrize(
    ("state", "percentage", "expected"),
    [
        ("ot=rv:ffffffffffffff", 50, True),
        ("ot=rv:ffffffffffffff", 0, False),
        (RV_LOW, 50, False),
        (RV_LOW, 75, True),
        (RV_HIGH, 50, True),
        ("ot=rv:7fffffffffffff", 50, False),
        ("ot=rv:FFFFFFFFFFFFFF", 50, True),
        ("ot=th:8", 100, True),
        ("ot=th:0", 50, False),
    ],
)
def test_randomness_in_a_tracestate_decides(
    state: str, percentage: float, expected: bool
) -> None:
    """By rv, or by the id when only th is there."""
    assert bool(kept(sampler_of(share(percentage)), state)) is expected


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        ([share(50)], "ot=rv:80000000000000;th:8"),
        ([share(50), share(75)], "ot=rv:80000000000000;th:4"),
        ([share(50), ALL], "ot=rv:80000000000000;th:0"),
        ([both(share(75), share(50), ALL)], "ot=rv:80000000000000;th:8"),
    ],
)
def test_the_least_threshold_of_the_votes_is_written(
    policies: list[dict[str, Any]], expected: str
) -> None:
    """`and` has the greatest of its sub-policies, other filters have 0."""
    assert states_of(kept(sampler_of(*policies), RV_HIGH)) == [expected]


def test_every_span_is_written_but_the_stricter_and_the_unparseable() -> None:
    """The latter are counted, and the size of the trace is that of its new bytes."""
    sampler = sampler_of(share(50))
    traces = kept(sampler, RV_HIGH, "", "k=v", "ot=th:c", "BAD")
    written = ["ot=rv:80000000000000;th:8", "ot=th:8", "ot=th:8,k=v", "ot=th:c", "BAD"]
    assert states_of(traces) == written
    assert sampler.thresholds is not None
    assert sampler.thresholds.unparseable_spans == 1
    assert traces[0].size_bytes == sum(len(one.spans) for one in traces[0].pieces)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_limiter_is_refused_beside_the_gate(wrapped: bool) -> None:
    """It would have to tell a threshold; the error names policy and gate."""
    limiter = {
        "name": "limited",
        "type": "rate_limiting",
        "rate_limiting": {"spans_per_second": 9},
    }
    with pytest.raises(ConfigError, match=USE_TRACESTATE):
        sampler_of(both(limiter) if wrapped else limiter)


def test_adjusted_counts_estimate_the_true_count() -> None:
    """Within 3 standard deviations, over shares that others took before by th."""
    rng = random.Random(7)
    sampler = sampler_of(share(20))
    traces = 20_000
    spans = []
    for _ in range(traces):
        span = otlp.span(rng.randbytes(16), b"s" * 8)
        # Randomness is told; a tenth was sampled by half before.
        number = rng.randrange(NEVER)
        halved = rng.random() < 0.1
        if halved and number < NEVER >> 1:
            continue
        span.trace_state = f"ot=rv:{number:014x}" + (";th:8" if halved else "")
        spans.append(span)
    sampler.ingest(otlp.request(*spans), 0)
    sampler.expire_all(1)
    estimate = sum(
        map(_stands_for, states_of(sampler.judge_due(1, traces_max=traces)[1]))
    )
    assert abs(estimate - traces) < 3 * (traces * (1 / 0.2 - 1)) ** 0.5


def _stands_for(state: str) -> float:
    found = parse(state.encode())
    assert found is not None
    assert found.threshold is not None
    return NEVER / (NEVER - found.threshold)
