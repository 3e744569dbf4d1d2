"""What is held is bounded in bytes: the heaviest traces go first, and are counted."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from services.sampler.tests.processor_rig import KEEP_ALL, Rig

from tailring_pipeline import Batch, Refused
from tailring_runtime.config import load
from tailring_sampler import app, components
from tailring_sampler.config import TailSamplingConfig
from tailring_sampler.doors import Decision, Door
from tailring_sampler.processor import build_sampler
from tailring_sampler.sampler import Sampler
from tailring_testkit import otlp
from tailring_testkit.virtual_time import virtual_time

MIB = 1 << 20


def sampler_of(memory_max_bytes: int, **keys: Any) -> Sampler:
    """A sampler with so much memory that keeps all it judges."""
    written = {"policies": [KEEP_ALL], "decision_wait": "5s", **keys}
    config = TailSamplingConfig.model_validate(written)
    return build_sampler(config, memory_max_bytes=memory_max_bytes)


def request_of(number: int, *, spans: int = 1, name_bytes: int = 100) -> bytes:
    """Some spans of one trace."""
    trace_id = number.to_bytes(16, "big")
    built = [
        otlp.span(trace_id, serial.to_bytes(8, "big"), name="n" * name_bytes)
        for serial in range(spans)
    ]
    return otlp.request(*built)


def test_the_heaviest_trace_goes_first() -> None:
    """One giant makes room for all others, which stay."""
    sampler = sampler_of(100_000)
    for number in range(50):
        sampler.ingest(request_of(number), 0)
    assert not sampler.pressed
    sampler.ingest(request_of(99, spans=600), 1)
    assert sampler.pressed
    done, kept = sampler.relieve(2, traces_max=64)
    assert done == 1
    assert [trace.spans for trace in kept] == [600]
    assert not sampler.pressed
    assert sampler.buffer.traces_pending == 50
    left = (Door.DECIDED_EARLY_PRESSURE, Decision.SAMPLED)
    assert sampler.buffer.spans_left == {left: 600}
    assert sampler.buffer.traces_left == {left: 1}
    sampler.check_invariants()


def test_of_equals_the_oldest_goes_first() -> None:
    """Traces of one size are judged in order of their arrival."""
    sampler = sampler_of(100_000)
    for number in range(200):
        sampler.ingest(request_of(number), number)
    done, kept = sampler.relieve(300, traces_max=1000)
    assert done > 0
    assert [int.from_bytes(t.trace_id, "big") for t in kept] == list(range(done))


def test_what_is_evicted_is_not_judged() -> None:
    """With `drop` the heaviest trace leaves undecided, and its spans begin anew."""
    sampler = sampler_of(100_000, memory={"eviction": "drop"})
    sampler.ingest(request_of(1, spans=800), 0)
    assert sampler.relieve(1, traces_max=64) == (1, [])
    left = (Door.EVICTED_PRESSURE, Decision.PENDING)
    assert sampler.buffer.spans_left == {left: 800}
    assert sampler.buffer.traces_left == {left: 1}
    sampler.ingest(request_of(1), 2)
    assert sampler.buffer.traces_pending == 1
    sampler.check_invariants()


def test_late_spans_follow_a_decision_under_pressure() -> None:
    """A trace that was judged early is kept whole as far as it goes on."""
    sampler = sampler_of(100_000)
    sampler.ingest(request_of(1, spans=800), 0)
    sampler.relieve(1, traces_max=64)
    assert [trace.spans for trace in sampler.ingest(request_of(1), 2)] == [1]


@pytest.mark.parametrize("cache", [0, 100_000])
def test_decisions_give_way_when_nothing_is_pending(cache: int) -> None:
    """Remembered decisions alone cannot use the memory up."""
    caches = {"sampled_cache_size": cache}
    sampler = sampler_of(50_000, decision_cache=caches)
    for number in range(500):
        sampler.ingest(request_of(number), number)
        while sampler.pressed:
            assert sampler.relieve(number, traces_max=1)[0] == 1
        sampler.check_invariants()
    assert len(dict(sampler.known_decisions())) < 200


def test_shutdown_and_pressure_have_doors_of_their_own() -> None:
    """Pressure during a drain is not counted as the drain's."""
    sampler = sampler_of(100_000)
    sampler.ingest(request_of(1, spans=800), 0)
    sampler.ingest(request_of(2), 0)
    sampler.expire_all(1)
    sampler.relieve(1, traces_max=64)
    sampler.judge_due(1, traces_max=64)
    sampler.check_invariants()
    assert sampler.buffer.traces_left == {
        (Door.DECIDED_EARLY_PRESSURE, Decision.SAMPLED): 1,
        (Door.DECIDED_EARLY_SHUTDOWN, Decision.SAMPLED): 1,
    }


@pytest.mark.parametrize("eviction", ["drop", "decide"])
def test_memory_is_bounded_whatever_comes(eviction: str) -> None:
    """After each request of random size what is held fits, and the counters agree."""
    rng = random.Random(7)
    sampler = sampler_of(200_000, memory={"eviction": eviction}, num_traces=300)
    for step in range(600):
        spans = rng.choice([1, 1, 1, 8, 200])
        size = rng.choice([0, 100, 2000])
        payload = request_of(rng.randrange(400), spans=spans, name_bytes=size)
        sampler.ingest(payload, step * 10**7)
        while sampler.pressed:
            assert sampler.relieve(step * 10**7, traces_max=8)[0] > 0
        sampler.judge_due(step * 10**7, traces_max=8)
        sampler.check_invariants()
        assert sampler.memory_bytes <= 200_000


async def fill(rig: Rig, requests: int) -> None:
    """So many traces of a megabyte."""
    for number in range(requests):
        payload = request_of(number, name_bytes=MIB)
        await rig.processor.consume(Batch(payload, 1))
        rig.processor.check_invariants()


@virtual_time
async def test_the_processor_judges_early_under_pressure() -> None:
    """What does not fit leaves long before its wait is over, by its own door."""
    rig = Rig(memory={"max_bytes": 16 * MIB})
    await rig.processor.start()
    await fill(rig, 12)
    assert rig.processor.sampler.budget.max_bytes == 12 * MIB
    assert rig.processor.sampler.memory_bytes <= 12 * MIB
    await asyncio.sleep(1)
    assert rig.sink.items > 0
    await rig.drain()
    assert rig.sink.items == 12
    labels = {"door": "decided_early_pressure", "decision": "sampled"}
    labels["processor"] = "tail_sampling"
    assert rig.metrics.value("tailring_sampler_traces_left", **labels) > 0
    budget = rig.metrics.value(
        "tailring_sampler_memory_budget_bytes", processor="tail_sampling"
    )
    assert budget == 12 * MIB


@virtual_time
async def test_a_full_release_refuses_at_the_door() -> None:
    """When nothing can be let go the sender is told to send again; nothing is lost."""
    rig = Rig(memory={"max_bytes": 16 * MIB})
    rig.sink.refuse()
    with pytest.raises(Refused, match="kept traces wait"):
        await fill(rig, 40)
    rig.sink.take()
    await rig.drain()
    assert rig.sink.items == rig.processor.sampler.buffer.spans_received


@virtual_time
async def test_evictions_count_as_dropped_too_early() -> None:
    """Upstream's counter of traces that left undecided counts those of `drop`."""
    rig = Rig(memory={"max_bytes": 16 * MIB, "eviction": "drop"})
    await fill(rig, 12)
    await rig.processor.tick()
    assert rig.value("sampling_trace_dropped_too_early") > 0
    await rig.drain()


def test_processors_share_the_default(tmp_path: Path) -> None:
    """Half of the memory is divided among all tail sampling processors in use."""
    sampling = {"policies": [KEEP_ALL]}
    pipeline = {"receivers": ["otlp"], "exporters": ["nop"]}
    tree = {
        "receivers": {"otlp": {"protocols": {"grpc": {}}}},
        "processors": {"tail_sampling": sampling, "tail_sampling/b": sampling},
        "exporters": {"nop": {}},
        "service": {
            "pipelines": {
                "traces": {**pipeline, "processors": ["tail_sampling"]},
                "traces/b": {**pipeline, "processors": ["tail_sampling/b"]},
            }
        },
    }
    path = tmp_path / "sampler.yaml"
    path.write_text(yaml.safe_dump(tree))
    loaded = load([str(path)], environ={}, registry=components.registry())
    assert app.memory_share(loaded.config, lambda: 1024 * MIB) == 256 * MIB


def test_a_budget_too_small_is_refused() -> None:
    """A few bytes cannot hold a request."""
    with pytest.raises(ValidationError, match="16 MiB"):
        TailSamplingConfig.model_validate({"memory": {"max_bytes": 1000}})
