"""The feature gates of tail sampling."""

from __future__ import annotations

import asyncio
from collections.abc import Set as AbstractSet
from typing import Any

import pytest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from services.sampler.tests.processor_rig import KEEP_ALL, KEEP_ERRORS, Rig

from tailring_otlpwire import Piece
from tailring_sampler.gates import COUNT_SPANS, RECORD_POLICY
from tailring_sampler.recording import PolicyRecorder
from tailring_testkit import otlp
from tailring_testkit.virtual_time import virtual_time

ERROR = 2
COMPOSITE = {
    "name": "mixed",
    "type": "composite",
    "composite": {
        "max_total_spans_per_second": 100,
        "composite_sub_policy": [
            {**KEEP_ERRORS, "name": "bad"},
            {**KEEP_ALL, "name": "rest"},
        ],
    },
}
Attributes = dict[str, Any]


def scopes_of(rig: Rig) -> list[Attributes]:
    """The attributes of every scope that arrived."""
    found = []
    for batch in rig.sink.batches:
        for resource in otlp.join_messages([batch.payload]).resource_spans:
            found += [_attributes(one.scope) for one in resource.scope_spans]
    return found


def _attributes(scope: InstrumentationScope) -> Attributes:
    return {
        one.key: getattr(one.value, str(one.value.WhichOneof("value")))
        for one in scope.attributes
    }


async def judged(*spans: tuple[int, int], gates: AbstractSet[str], **keys: Any) -> Rig:
    """A processor that has judged and delivered these spans."""
    rig = Rig(gates=gates, **keys)
    await rig.processor.start()
    await rig.send(*spans)
    await asyncio.sleep(7)
    return rig


@pytest.mark.parametrize(
    ("policies", "attributes"),
    [
        ([KEEP_ERRORS, KEEP_ALL], {"tailsampling.policy": "all"}),
        (
            [KEEP_ALL, COMPOSITE],
            {"tailsampling.policy": "all", "tailsampling.composite_policy": "rest"},
        ),
        (
            [COMPOSITE],
            {"tailsampling.policy": "mixed", "tailsampling.composite_policy": "rest"},
        ),
    ],
)
@virtual_time
async def test_scopes_say_which_policy_kept_their_spans(
    policies: list[Attributes], attributes: Attributes
) -> None:
    """With recordpolicy the names stand in the scope, without the component's name."""
    rig = await judged(
        (1, 0), gates={RECORD_POLICY}, policies=policies, name="tail_sampling/x"
    )
    assert scopes_of(rig) == [attributes]
    await rig.drain()


@virtual_time
async def test_without_the_gate_nothing_is_written() -> None:
    """Kept spans leave as they came."""
    rig = await judged((1, 0), gates=frozenset(), policies=[COMPOSITE])
    assert scopes_of(rig) == [{}]
    await rig.drain()


@pytest.mark.parametrize(
    ("cache", "late"),
    [
        (9, {"tailsampling.policy": "all", "tailsampling.cached_decision": True}),
        (0, {}),
    ],
)
@virtual_time
async def test_late_spans_say_that_a_cache_answered(
    cache: int, late: Attributes
) -> None:
    """From the cache they get the policy and cached_decision, from the map nothing."""
    rig = await judged(
        (1, 0), gates={RECORD_POLICY}, decision_cache={"sampled_cache_size": cache}
    )
    await rig.send((1, 0))
    await rig.drain()
    assert scopes_of(rig) == [{"tailsampling.policy": "all"}, late]


@virtual_time
async def test_votes_are_counted_in_spans() -> None:
    """count_spans_sampled counts each policy's votes times the spans of the trace."""
    rig = await judged(
        (1, 0), (1, 0), (2, ERROR), gates={COUNT_SPANS}, policies=[KEEP_ERRORS]
    )
    labels = {"policy": "errors"}
    kept = {"sampled": "true", "decision": "sampled"}
    rejected = {"sampled": "false", "decision": "not_sampled"}
    assert rig.value("count_spans_sampled", **labels, **kept) == 1
    assert rig.value("count_spans_sampled", **labels, **rejected) == 2
    await rig.drain()


@virtual_time
async def test_spans_are_counted_with_the_gate_only() -> None:
    """Without metricstatcountspanssampled there is no such series."""
    rig = await judged((1, 0), gates=frozenset())
    assert "count_spans_sampled" not in rig.metrics.expose().decode()
    await rig.drain()


def test_a_scope_that_is_malformed_inside_stays_as_it_is() -> None:
    """Nobody has looked into it, and its backend is to say what is wrong with it."""
    piece = Piece(b"", b"\x0a\x02\x1a\x7f", b"")
    assert PolicyRecorder().judged([piece], "all")[0].scope == piece.scope
