"""The policy `ottl_condition`: order, error modes, refusals."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span
from pydantic import ValidationError

from tailring_otlpwire import Piece
from tailring_ottl import EvalError
from tailring_sampler.policies.ottl_condition import OttlCondition, OttlConditionConfig
from tailring_sampler.policies.policy import NOT_SAMPLED, SAMPLED, Trace


def policy(**block: Any) -> OttlCondition:
    """The policy of this block."""
    return OttlCondition(OttlConditionConfig.model_validate(block))


def trace() -> Trace:
    """One span `GET` with an event `boom`."""
    span = Span(name="GET", events=[Span.Event(name="boom")])
    spans = ScopeSpans(spans=[span]).SerializeToString()
    return cast(Trace, SimpleNamespace(pieces=[Piece(b"", b"", spans)]))


def test_any_condition_keeps() -> None:
    """One condition of either list that holds keeps the trace."""
    assert policy(span=['name == "x"', 'name == "GET"']).evaluate(trace(), 0) is SAMPLED
    assert policy(spanevent=['name == "boom"']).evaluate(trace(), 0) is SAMPLED
    assert policy(span=['name == "boom"']).evaluate(trace(), 0) is NOT_SAMPLED


FAILS = ["name + 1 == 2", 'name == "GET"']


def test_failure_is_false_unless_propagated() -> None:
    """Unset, a failing condition is false, unreported, and the next is asked."""
    silent = policy(span=FAILS)
    assert silent.evaluate(trace(), 0) is SAMPLED
    assert silent.take_failures() == (0, "")


def test_ignored_failure_is_reported_once() -> None:
    """Under `ignore` a failure is kept for the log until it is taken."""
    ignoring = policy(span=FAILS, error_mode="IGNORE")
    assert ignoring.evaluate(trace(), 0) is SAMPLED
    count, text = ignoring.take_failures()
    assert count == 1
    assert text.startswith("failed to eval condition: name + 1 == 2, ")
    assert ignoring.take_failures() == (0, "")


def test_propagated_failure_is_an_error() -> None:
    """Under `propagate` a failure is raised although a later condition would hold."""
    with pytest.raises(EvalError, match="failed to eval condition"):
        policy(span=FAILS, error_mode="propagate").evaluate(trace(), 0)


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ({}, "expected at least one OTTL condition to filter on"),
        ({"span": ["true"], "error_mode": "foo"}, "unknown error mode foo"),
        ({"span": ["true"], "error_mode": ""}, "unknown error mode "),
        ({"span": ["nam == 1"]}, "span.name"),
        ({"spanevent": ["IsRootSpan()"]}, "undefined function"),
    ],
)
def test_bad_block_is_refused(block: dict[str, Any], says: str) -> None:
    """A bad block is refused when the configuration is read."""
    with pytest.raises(ValidationError) as caught:
        policy(**block)
    assert says in str(caught.value)
