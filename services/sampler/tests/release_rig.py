"""A release in front of sinks, and traces to give to it."""

from __future__ import annotations

from collections.abc import Sequence

from tailring_otlpwire import HeaderCache, TraceSlice, group
from tailring_pipeline import fan_out
from tailring_runtime.metrics import Metrics
from tailring_sampler.release import Release, ReleaseSettings
from tailring_sampler.sampler import KeptTrace
from tailring_testkit import otlp
from tailring_testkit.sink import Sink

SPANS = 2
# A request with one of our traces, with room to spare.
REQUEST_BYTES = 120


def kept(number: int) -> KeptTrace:
    """A kept trace of two spans."""
    trace_id = number.to_bytes(16, "big")
    spans = [otlp.span(trace_id, bytes([serial] * 8)) for serial in range(1, SPANS + 1)]
    (part,) = group(otlp.request(*spans), HeaderCache(4))
    return kept_of(part)


def kept_of(part: TraceSlice) -> KeptTrace:
    """A kept trace that came in one slice."""
    return KeptTrace(
        part.trace_id, part.pieces, spans=part.span_count, size_bytes=part.byte_count
    )


def large(spans: int, *, span_bytes: int) -> KeptTrace:
    """A kept trace of so many large spans, numbered in their names."""
    name = "n" * span_bytes
    built = [
        otlp.span(bytes(16), serial.to_bytes(8, "big"), name=f"{serial} {name}")
        for serial in range(1, spans + 1)
    ]
    (part,) = group(otlp.request(*built), HeaderCache(4))
    return kept_of(part)


def arrived(sink: Sink) -> set[int]:
    """The traces that a sink took, no span of them twice."""
    spans = otlp.spans_of(sink.payload)
    assert len(set(spans)) == len(spans)
    return {int.from_bytes(one) for one in otlp.trace_ids_of(sink.payload)}


class Rig:
    """A release in front of a sink, or of several."""

    def __init__(
        self, sink: Sink, settings: ReleaseSettings | None = None, *others: Sink
    ) -> None:
        self.sink = sink
        self.metrics = Metrics()
        self.answered: list[bytes] = []
        self.release = Release(
            settings or ReleaseSettings(),
            consumer=fan_out([sink, *others]),
            metrics=self.metrics,
            processor="tail_sampling",
            on_delivered=self.hear,
        )

    def hear(self, trace_ids: Sequence[bytes]) -> None:
        """Keep what is reported."""
        self.answered += trace_ids

    def offer(self, *numbers: int) -> None:
        """Release these traces."""
        for number in numbers:
            self.release.offer(kept(number))
        self.release.check_invariants()

    def arrived(self) -> set[int]:
        """The traces that the sink took."""
        return arrived(self.sink)

    async def end(self) -> None:
        """Stop, with every span accounted for."""
        self.release.check_invariants()
        await self.release.terminate()
        self.release.check_invariants()
        assert self.release.spans_held == 0
