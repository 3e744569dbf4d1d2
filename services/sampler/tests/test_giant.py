"""A giant trace does not hold up the others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from services.sampler.tests.processor_rig import KEEP_ALL, Rig

from tailring_pipeline import Batch
from tailring_sampler.config import TailSamplingConfig
from tailring_sampler.processor import build_sampler
from tailring_sampler.release_batch import ReleaseBatch
from tailring_testkit import otlp
from tailring_testkit.heartbeat import Heartbeat

SPANS = 100_000
SECOND_NS = 10**9
# The spans of one trace stand below so many resources in turn.
SHAPES = [
    pytest.param(1, id="gathered"),
    pytest.param(50, id="scattered"),
    pytest.param(500, id="dust"),
]


def giant(pods: int) -> Iterator[Batch]:
    """Requests with the spans of one trace, 258 bytes each."""
    for at in range(0, SPANS, 1000):
        parts = [
            otlp.request(
                *(
                    otlp.span(b"g" * 16, (at + n).to_bytes(8, "big"), name="n" * 200)
                    for n in range(pod, 1000, pods)
                ),
                resource={"pod": f"pod-{pod}"},
            )
            for pod in range(pods)
        ]
        yield Batch(b"".join(parts), 1000)


@pytest.mark.parametrize("pods", SHAPES)
async def test_a_giant_trace_holds_nobody_up(pods: int) -> None:
    """From taking it in until all of it is delivered the loop stalls under 200 ms."""
    rig = Rig()
    now_ns = 0
    rig.clock_ns = lambda: now_ns
    requests = list(giant(pods))
    small = otlp.request(otlp.span(b"s" * 16, b"s" * 8))
    async with Heartbeat() as heart:
        for batch in requests:
            await rig.processor.consume(batch)
            await asyncio.sleep(0)
        await rig.processor.consume(Batch(small, 1))
        now_ns = 6 * SECOND_NS
        await rig.processor.tick()
        await rig.processor.release.flush(60)
    assert rig.sink.items == SPANS + 1
    assert max(batch.items for batch in rig.sink.batches) < 20_000
    assert heart.longest_ms < 200
    await rig.drain()


def test_requests_of_a_giant_repeat_few_headers() -> None:
    """Large headers in turn are not sent again with every few spans."""
    sampler = build_sampler(TailSamplingConfig.model_validate({"policies": [KEEP_ALL]}))
    for at in range(100):
        built = otlp.span(b"g" * 16, at.to_bytes(8, "big"))
        resource = {"pod": str(at % 2) * 10_000}
        sampler.ingest(otlp.request(built, resource=resource), 0)
    sampler.expire_all(0)
    _, (trace,) = sampler.judge_due(0, traces_max=1)
    batch = ReleaseBatch(1)
    batch.add(trace, bytes_max=11_000)
    sent = list(batch.requests(batch.traces, bytes_max=11_000))
    assert sum(request.items for request in sent) == 100
    assert sum(len(request.payload) for request in sent) < 3 * batch.size_bytes
