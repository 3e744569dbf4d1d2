"""Sets of policies that hold others, for `test_decisions`; see
`decision_sets_attributes`. Budgets are too large or too small for any trace to matter:
the order in a tick is random upstream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["SETS"]

Policy = dict[str, Any]


def _policy(kind: str, **block: Any) -> Policy:
    return {"name": f"{kind}-{len(block)}", "type": kind, kind: block}


ERRORS = _policy("status_code", status_codes=["ERROR"])
SLOW = _policy("latency", threshold_ms=500)
SOME = _policy("probabilistic", sampling_percentage=30)
TAGGED = _policy("string_attribute", key="tag", values=["a", "checkout"])
LARGE = _policy("span_count", min_spans=4)
BUCKET = _policy("rate_limiting", spans_per_second=10**9)
EMPTY_BUCKET = _policy("rate_limiting", spans_per_second=0)
FULL_BUCKET = _policy("rate_limiting", spans_per_second=0, burst_capacity=10**7)


def _not(policy: Policy) -> Policy:
    return _policy("not", not_sub_policy=policy)


def _and(*policies: Policy) -> Policy:
    return _policy("and", and_sub_policy=list(policies))


def _drop(*policies: Policy) -> Policy:
    return _policy("drop", drop_sub_policy=list(policies))


def _composite(*policies: Policy, total: int = 10**9, **keys: Any) -> Policy:
    named = [{**one, "name": f"c{at}"} for at, one in enumerate(policies)]
    return _policy(
        "composite",
        max_total_spans_per_second=total,
        composite_sub_policy=named,
        **keys,
    )


def _lists() -> Iterator[list[Policy]]:
    yield [_and(ERRORS, SLOW)]
    yield [_and(_not(ERRORS), TAGGED)]
    yield [_and(LARGE, SOME, _not(SLOW))]
    yield [_and()]
    yield [_not(ERRORS)]
    yield [_not(TAGGED)]
    yield [_not(SOME)]
    for dropping in ([ERRORS], [_not(ERRORS), SLOW], [LARGE, SOME]):
        yield [_policy("always_sample"), _drop(*dropping)]
    yield [SOME, _drop(TAGGED), _and(ERRORS)]
    yield [_composite(ERRORS, SLOW)]
    yield [_composite(_and(LARGE, SLOW), TAGGED)]
    yield [_composite(LARGE, total=0)]
    yield [_composite(ERRORS, rate_allocation=[{"policy": "c0", "percent": 1}])]
    yield [BUCKET]
    yield [_and(ERRORS, BUCKET)]
    yield [_and(BUCKET, FULL_BUCKET)]
    yield [EMPTY_BUCKET, ERRORS]
    yield [FULL_BUCKET]


def _uniquely(policies: list[Policy]) -> list[Policy]:
    return [{**one, "name": f"p{at}"} for at, one in enumerate(policies)]


SETS: dict[str, dict[str, Any]] = {
    f"compound{at}": {"policies": _uniquely(policies)}
    for at, policies in enumerate(_lists())
}
SETS["compoundfirst"] = {
    "policies": _uniquely([SOME, _drop(ERRORS), SLOW]),
    "sample_on_first_match": True,
}
