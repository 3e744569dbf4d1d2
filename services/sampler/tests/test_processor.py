"""The shell: ticking, backpressure, drain, metrics."""

from __future__ import annotations

import asyncio

import pytest
from services.sampler.tests.processor_rig import KEEP_ALL, KEEP_ERRORS, Rig

from tailring_pipeline import Batch, Refused, Rejected
from tailring_runtime.losses import Loss
from tailring_runtime.metrics import Metrics
from tailring_sampler.config import TailSamplingConfig
from tailring_sampler.processor import ProcessorSettings, TailSamplingProcessor
from tailring_testkit import otlp
from tailring_testkit.stage_contract import ConsumingContract, StageSubject
from tailring_testkit.virtual_time import virtual_time

UPSTREAM = "otelcol_processor_tail_sampling_"


class TestContract(ConsumingContract):
    """The processor is a stage like any other."""

    @pytest.fixture
    async def subject(self) -> StageSubject:
        """A processor that keeps everything."""
        rig = Rig()
        return StageSubject(rig.processor, lambda: rig.sink.items)


@virtual_time
async def test_a_trace_is_exported_when_its_wait_is_over() -> None:
    """A kept trace leaves between decision_wait and half a second later."""
    rig = Rig()
    await rig.processor.start()
    await rig.send((1, 0), (2, 0))
    await asyncio.sleep(4.9)
    assert rig.sink.items == 0
    await asyncio.sleep(0.6)
    assert rig.sink.items == 2
    await rig.drain()


@virtual_time
async def test_a_malformed_request_is_rejected() -> None:
    """Bytes that are no request are a permanent error and change nothing."""
    rig = Rig()
    await rig.processor.start()
    with pytest.raises(Rejected):
        await rig.processor.consume(Batch(b"\xff", 1))
    assert rig.processor.sampler.buffer.spans_received == 0
    await rig.drain()


@virtual_time
async def test_a_full_release_stops_decisions_and_intake() -> None:
    """While the backend refuses, traces wait, senders are refused, nothing is lost."""
    rig = Rig(held_bytes_max=1, decision_wait="1s")
    rig.sink.refuse()
    await rig.processor.start()
    await rig.send((1, 0))
    await asyncio.sleep(0.5)
    await rig.send((2, 0))
    await asyncio.sleep(30)
    assert rig.processor.release.full
    assert rig.processor.sampler.buffer.traces_pending == 1
    with pytest.raises(Refused) as refused:
        await rig.send((3, 0))
    assert refused.value.reason == "release_full"
    assert refused.value.retry_after_s > 0
    rig.sink.take()
    await asyncio.sleep(30)
    assert rig.sink.items == 2
    await rig.send((3, 0))
    await rig.drain()
    assert rig.sink.items == 3


@virtual_time
async def test_a_drain_decides_on_what_is_there() -> None:
    """At shutdown pending traces are judged at once and exported."""
    rig = Rig(policies=[KEEP_ERRORS])
    await rig.processor.start()
    await rig.send((1, 2), (2, 0))
    await rig.drain()
    assert rig.sink.items == 1
    left = rig.processor.sampler.buffer.spans_left
    assert {(d.value, v.value): n for (d, v), n in left.items()} == {
        ("decided_early_shutdown", "sampled"): 1,
        ("decided_early_shutdown", "not_sampled"): 1,
    }


@virtual_time
async def test_a_drain_drops_pending_traces_when_told_so() -> None:
    """With drop_pending_traces_on_shutdown nothing that waits is exported."""
    rig = Rig(drop_pending_traces_on_shutdown=True)
    await rig.processor.start()
    await rig.send((1, 0))
    await rig.drain()
    assert rig.sink.items == 0
    discarded = rig.metrics.value("tailring_sampler_spans_left", door="discarded")
    assert discarded == 1
    assert rig.value("global_count_traces_sampled") == 0


@virtual_time
async def test_a_drain_waits_for_room_in_the_release() -> None:
    """More than the release may hold is judged as deliveries make room."""
    rig = Rig(held_bytes_max=1)
    await rig.processor.start()
    await rig.send(*((number, 0) for number in range(500)))
    await rig.drain()
    assert rig.sink.items == 500


@virtual_time
async def test_a_drain_ends_at_its_deadline() -> None:
    """A backend that refuses to the end costs what is counted as lost by name."""
    rig = Rig(held_bytes_max=1)
    rig.sink.refuse()
    await rig.processor.start()
    await rig.send(*((number, 0) for number in range(500)))
    begun_s = asyncio.get_running_loop().time()
    await rig.drain(timeout_s=10)
    assert asyncio.get_running_loop().time() - begun_s < 11
    abandoned = rig.metrics.value("tailring_sampler_spans_left", door="abandoned")
    assert abandoned > 0
    assert abandoned + rig.metrics.value("tailring_sampler_spans_lost") == 500
    assert rig.processor.loss == Loss(spans=500, traces=500)


@virtual_time
async def test_what_is_dropped_on_purpose_is_no_loss() -> None:
    """Evicted, rejected and discarded spans do not make a stop unclean."""
    rig = Rig(num_traces=2, drop_pending_traces_on_shutdown=True, decision_wait="1s")
    rig.sink.script([Rejected("bad", "no")])
    await rig.processor.start()
    await rig.send((1, 0))
    await asyncio.sleep(2)
    await rig.send((2, 0), (3, 0), (4, 0))
    await rig.drain()
    assert rig.metrics.value("tailring_sampler_spans_lost", reason="rejected") == 1
    assert rig.processor.loss == Loss()


@virtual_time
async def test_a_drain_hurries_what_was_refused() -> None:
    """Told that a drain has begun, the processor sends again without the long wait."""
    rig = Rig(decision_wait="1s")
    rig.sink.refuse()
    await rig.processor.start()
    await rig.send((1, 0))
    await asyncio.sleep(600)
    rig.sink.take()
    rig.processor.hurry()
    await rig.drain(timeout_s=0.5)
    assert rig.sink.items == 1


@virtual_time
async def test_late_spans_are_forwarded_or_dropped_at_once() -> None:
    """A late span does not wait again."""
    rig = Rig(policies=[KEEP_ERRORS])
    await rig.processor.start()
    await rig.send((1, 2), (2, 0))
    await asyncio.sleep(6)
    await rig.send((1, 0), (2, 0))
    await asyncio.sleep(0.3)
    assert rig.sink.items == 2
    assert rig.value("sampling_late_span_age") == 2
    assert rig.value("sampling_traces_on_memory") == 2
    await rig.drain()


@virtual_time
async def test_cached_decisions_are_counted_as_early_releases() -> None:
    """Spans that a decision cache answers for are counted apart."""
    rig = Rig(
        policies=[KEEP_ERRORS],
        decision_cache={"sampled_cache_size": 9, "non_sampled_cache_size": 9},
    )
    await rig.processor.start()
    await rig.send((1, 2), (2, 0))
    await asyncio.sleep(6)
    assert rig.value("sampling_traces_on_memory") == 0
    assert rig.value("sampling_trace_removal_age") == 2
    await rig.send((1, 0), (1, 0), (2, 0))
    await rig.drain()
    assert rig.value("early_releases_from_cache_decision", sampled="true") == 2
    assert rig.value("early_releases_from_cache_decision", sampled="false") == 1
    assert rig.value("sampling_late_span_age") == 0


@virtual_time
async def test_evicted_traces_are_counted() -> None:
    """A trace that num_traces pushes out undecided was dropped too early."""
    rig = Rig(num_traces=1)
    await rig.processor.start()
    await rig.send((1, 0))
    await rig.send((2, 0))
    await asyncio.sleep(6)
    assert rig.value("sampling_trace_dropped_too_early") == 1
    assert rig.value("new_trace_id_received") == 2
    assert rig.sink.items == 1
    await rig.drain()


@virtual_time
async def test_votes_and_decisions_are_counted_apart() -> None:
    """Each policy's votes are counted under its name, decisions once a trace."""
    rig = Rig(policies=[KEEP_ERRORS, KEEP_ALL], name="tail_sampling/foo")
    await rig.processor.start()
    await rig.send((1, 2), (2, 0))
    await asyncio.sleep(6)
    votes = {
        (name, sampled): rig.value("count_traces_sampled", policy=name, sampled=sampled)
        for name in ("foo.errors", "foo.all")
        for sampled in ("true", "false")
    }
    assert votes == {
        ("foo.errors", "true"): 1,
        ("foo.errors", "false"): 1,
        ("foo.all", "true"): 2,
        ("foo.all", "false"): 0,
    }
    assert rig.value("global_count_traces_sampled", sampled="true") == 2
    assert rig.value("global_count_traces_sampled", decision="not_sampled") == 0
    assert rig.value("sampling_policy_execution_count", policy="foo.all") == 2
    await rig.drain()


@virtual_time
async def test_series_exist_from_the_first_tick() -> None:
    """A dashboard finds its series before the first trace."""
    rig = Rig()
    await rig.processor.start()
    await asyncio.sleep(0.15)
    page = rig.metrics.expose().decode()
    for name in (
        "sampling_trace_dropped_too_early_total",
        "sampling_policy_evaluation_error_total",
        'sampling_policy_execution_count_total{policy="all"}',
        "sampling_traces_on_memory",
        "sampling_decision_timer_latency_count",
        "new_trace_id_received_total",
    ):
        assert UPSTREAM + name in page
    await rig.drain()


async def test_a_burst_of_decisions_lets_others_run() -> None:
    """While thousands of traces are judged, other tasks get their turn."""
    rig = Rig()
    now_ns = 0

    def slow_clock() -> int:
        nonlocal now_ns
        now_ns += 3_000_000
        return now_ns

    processor = TailSamplingProcessor(
        TailSamplingConfig.model_validate({"policies": [KEEP_ALL]}),
        consumer=rig.sink,
        metrics=Metrics(),
        settings=ProcessorSettings(clock_ns=slow_clock),
    )
    payload = otlp.realistic_request(20_000, 1)
    await processor.consume(Batch(payload, 20_000))
    processor.sampler.expire_all(now_ns)
    turns = 0
    done = False

    async def other() -> None:
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(other())
        await processor.tick()
        done = True
    assert turns >= 2500 // 64 // 2
    await processor.terminate()
