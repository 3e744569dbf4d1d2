"""How spans are cut into requests, and in which order they come, decides nothing.

Of policies whose votes do not depend on the order of spans, that is: a latency window
does, as upstream's.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tailring_sampler.config import TailSamplingConfig
from tailring_sampler.processor import build_sampler
from tailring_testkit import otlp

MS = 1_000_000
WAIT_NS = 5_000_000_000
POLICIES = (
    {
        "name": "errors",
        "type": "status_code",
        "status_code": {"status_codes": ["ERROR"]},
    },
    {"name": "slow", "type": "latency", "latency": {"threshold_ms": 50}},
    {
        "name": "some",
        "type": "probabilistic",
        "probabilistic": {"sampling_percentage": 10},
    },
)

# Trace number, start and length in ms, status.
Drawn = tuple[int, int, int, int]
drawn_spans = st.lists(
    st.tuples(
        st.integers(0, 9), st.integers(0, 40), st.integers(0, 40), st.integers(0, 2)
    ),
    min_size=1,
    max_size=40,
)


def built(number: int, drawn: Drawn) -> Span:
    """The span number ``number``."""
    trace, start, length, status = drawn
    start_ns = otlp.EPOCH_NS + start * MS
    return otlp.span(
        trace.to_bytes(16, "big"),
        number.to_bytes(8, "big"),
        start_ns=start_ns,
        end_ns=start_ns + length * MS,
        status=status,
    )


def kept_spans(requests: Sequence[Sequence[Span]]) -> list[tuple[bytes, int]]:
    """Which traces are kept of these requests, with how many spans."""
    sampler = build_sampler(TailSamplingConfig.model_validate({"policies": POLICIES}))
    sampler.buffer.wait_ns = WAIT_NS
    for step, spans in enumerate(requests):
        sampler.ingest(otlp.request(*spans), step)
    judged, kept = sampler.judge_due(2 * WAIT_NS, traces_max=100)
    assert judged == len({span.trace_id for spans in requests for span in spans})
    sampler.check_invariants()
    assert sampler.buffer.spans_held == 0
    return sorted((trace.trace_id, trace.spans) for trace in kept)


@given(drawn=drawn_spans, data=st.data())
def test_cuts_and_order_decide_nothing(drawn: list[Drawn], data: st.DataObject) -> None:
    """The same traces are kept, whole, however their spans are cut and shuffled."""
    spans = [built(number, one) for number, one in enumerate(drawn)]
    shuffled = data.draw(st.permutations(spans))
    size = data.draw(st.integers(1, len(spans)))
    cut = [shuffled[at : at + size] for at in range(0, len(shuffled), size)]
    assert kept_spans(cut) == kept_spans([spans])
