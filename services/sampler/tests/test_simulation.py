"""A seeded life of a sampler, with every invariant checked after each step."""

from __future__ import annotations

import random

import pytest
from services.sampler.tests.processor_rig import KEEP_ERRORS

from tailring_sampler.config import TailSamplingConfig
from tailring_sampler.doors import Decision, Door
from tailring_sampler.processor import build_sampler
from tailring_sampler.sampler import Sampler
from tailring_testkit import otlp

STEPS = 1500
MEMORY_BYTES = 60_000
TRACES_MAX = 20
SECOND_NS = 10**9


class Life:
    """One sampler and the dice that decide what befalls it."""

    def __init__(self, seed: int, eviction: str) -> None:
        self.rng = random.Random(seed)
        self.now_ns = 0
        written = {
            "policies": [KEEP_ERRORS],
            "decision_wait": "2s",
            "decision_wait_after_root_received": "1s",
            "num_traces": TRACES_MAX,
            "decision_cache": {"sampled_cache_size": 20},
            "memory": {"eviction": eviction},
        }
        config = TailSamplingConfig.model_validate(written)
        self.sampler: Sampler = build_sampler(config, memory_max_bytes=MEMORY_BYTES)
        self.spans_sent = 0

    def step(self) -> None:
        """Something happens; then time may pass and what is due is judged."""
        rng = self.rng
        trace_id = rng.randrange(150).to_bytes(16, "big")
        rng.choice([self.arrive, self.arrive, self.arrive, self.learn, self.leave])(
            trace_id
        )
        while self.sampler.pressed:
            assert self.sampler.relieve(self.now_ns, traces_max=3)[0] > 0
            self.sampler.check_invariants()
        self.now_ns += rng.choice([0, SECOND_NS // 100, SECOND_NS // 20])
        self.sampler.judge_due(self.now_ns, traces_max=rng.randrange(1, 9))

    def arrive(self, trace_id: bytes) -> None:
        """A request with spans of a trace, at times a giant."""
        spans = self.rng.choice([1, 1, 2, 8, 300])
        parent = self.rng.choice([b"", bytes(8)])
        built = [
            otlp.span(trace_id, at.to_bytes(8, "big"), parent=parent, status=at % 3)
            for at in range(spans)
        ]
        self.sampler.ingest(otlp.request(*built), self.now_ns)
        self.spans_sent += spans

    def learn(self, trace_id: bytes) -> None:
        """Another sampler decided the trace."""
        decision = self.rng.choice([Decision.SAMPLED, Decision.DROPPED])
        self.sampler.learn(trace_id, decision, now_ns=self.now_ns)

    def leave(self, trace_id: bytes) -> None:
        """The trace goes to another sampler."""
        self.sampler.buffer.give_up(trace_id, self.now_ns)


@pytest.mark.parametrize("eviction", ["decide", "drop"])
@pytest.mark.parametrize("seed", [1, 2])
def test_invariants_hold_after_every_step(seed: int, eviction: str) -> None:
    """Counters balance and all containers stay bounded, whatever happens in turn."""
    life = Life(seed, eviction)
    for _ in range(STEPS):
        life.step()
        life.sampler.check_invariants()
        buffer = life.sampler.buffer
        assert buffer.spans_received == life.spans_sent
        assert buffer.traces_live <= TRACES_MAX
        assert life.sampler.memory_bytes <= MEMORY_BYTES
        assert max(buffer.statistics().values()) <= 2 * TRACES_MAX + 1024
    under_pressure = {
        "decide": Door.DECIDED_EARLY_PRESSURE,
        "drop": Door.EVICTED_PRESSURE,
    }
    doors = {door for door, _ in buffer.traces_left}
    assert doors >= {
        Door.DECIDED,
        Door.EVICTED,
        Door.HANDED_OFF,
        under_pressure[eviction],
    }
