"""What policies say that hold others, and those that limit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.sampler.tests.test_attribute_policies import keeps, made, trace
from services.sampler.tests.test_policies import TRACE, held

from tailring_otlpwire import HeaderCache, group
from tailring_sampler.judge import Judge, NamedPolicy
from tailring_sampler.policies import Needs, Vote, failures_of, needs_of
from tailring_sampler.policies.all_of import AllOf, Not
from tailring_sampler.policies.composite import CompositeConfig
from tailring_sampler.policies.rate_limiting import TokenBucket
from tailring_sampler.record import TraceRecord
from tailring_testkit import otlp

SECOND = 1_000_000_000
YES = {"name": "yes", "type": "always_sample"}
NO = {"name": "no", "type": "span_count", "span_count": {"min_spans": 1000}}
BIG = {"name": "big", "type": "span_count", "span_count": {"min_spans": 5}}


def of_spans(count: int, tag: int = 0) -> TraceRecord:
    """A trace of so many spans, the first of which has a number."""
    spans = [otlp.span(TRACE, n.to_bytes(8)) for n in range(count)]
    spans[0].attributes.extend(otlp.key_values({"tag": tag}))
    return held([otlp.request(*spans)])


class Says:
    """A plug-in's block: its policy casts one vote, or raises."""

    def __init__(self, vote: Vote | Exception) -> None:
        self.vote = vote
        self.asked = 0

    def build(self) -> Says:
        """Itself."""
        return self

    def evaluate(self, trace: Any, now_ns: int) -> Vote:
        """The vote."""
        self.asked += 1
        if isinstance(self.vote, Exception):
            raise self.vote
        return self.vote


@pytest.mark.parametrize(
    ("parts", "kept"),
    [([], True), ([YES], True), ([YES, NO], False), ([NO, YES], False)],
)
def test_and_needs_all(parts: list[dict[str, Any]], kept: bool) -> None:
    """An empty list lets everything pass."""
    assert keeps(made("and", and_sub_policy=parts), trace({})) is kept


def test_and_asks_no_further_than_the_first_that_does_not_keep() -> None:
    """So a limiter that comes later spends nothing."""
    later = Says(Vote.SAMPLED)
    policy = AllOf([Says(Vote.NOT_SAMPLED), later], Vote.SAMPLED)  # type: ignore[list-item]
    assert policy.evaluate(trace({}), 0) is Vote.NOT_SAMPLED
    assert later.asked == 0


@pytest.mark.parametrize(
    ("vote", "together"),
    [
        (Vote.INVERT_NOT_SAMPLED, Vote.NOT_SAMPLED),
        (Vote.INVERT_SAMPLED, Vote.SAMPLED),
        (Vote.DROPPED, Vote.SAMPLED),
    ],
)
def test_and_lets_pass_what_is_not_against(vote: Vote, together: Vote) -> None:
    """Of the votes that only plug-ins cast, the inverted no is a no."""
    policy = AllOf([Says(vote)], Vote.SAMPLED)  # type: ignore[list-item]
    assert policy.evaluate(trace({}), 0) is together


def test_what_a_part_raises_is_raised() -> None:
    """The whole policy casts no vote then."""
    policy = AllOf([Says(OSError("no"))], Vote.SAMPLED)  # type: ignore[list-item]
    with pytest.raises(OSError, match="no"):
        policy.evaluate(trace({}), 0)


def test_drop_drops_what_all_keep() -> None:
    """And says nothing of other traces; it is asked before other policies."""
    policy = made("drop", drop_sub_policy=[YES, BIG])
    assert policy.evaluate(of_spans(5), 0) is Vote.DROPPED
    assert policy.evaluate(of_spans(4), 0) is Vote.NOT_SAMPLED
    assert getattr(policy, "goes_first", False) is True
    assert getattr(made("and", and_sub_policy=[]), "goes_first", False) is False


def test_an_empty_drop_is_refused() -> None:
    """It would drop everything."""
    with pytest.raises(ValueError, match="every trace would be dropped"):
        made("drop", drop_sub_policy=[])


def test_failures_inside_are_told_once() -> None:
    """A condition that fails under `ignore`, however deep it stands."""
    failing = {
        "name": "f",
        "type": "ottl_condition",
        "ottl_condition": {"error_mode": "ignore", "span": ['name / 2 == "x"']},
    }
    for policy in (
        made("and", and_sub_policy=[failing]),
        made("not", not_sub_policy=failing),
        composite(1, failing),
    ):
        assert policy.evaluate(of_spans(3), 0) is not Vote.DROPPED
        count, newest = failures_of([policy])
        assert count == 3
        assert newest.startswith("failed to eval condition: name / 2")
        assert failures_of([policy]) == (0, "")


@pytest.mark.parametrize(
    ("vote", "opposite"),
    [
        (Vote.SAMPLED, Vote.NOT_SAMPLED),
        (Vote.NOT_SAMPLED, Vote.SAMPLED),
        (Vote.DROPPED, Vote.DROPPED),
        (Vote.INVERT_SAMPLED, Vote.INVERT_SAMPLED),
    ],
)
def test_not_swaps_the_plain_votes(vote: Vote, opposite: Vote) -> None:
    """Others pass through."""
    assert Not(Says(vote)).evaluate(trace({}), 0) is opposite


@pytest.mark.parametrize(
    ("kind", "key", "part", "fine"),
    [
        ("and", "and_sub_policy", "not", True),
        ("and", "and_sub_policy", "and", False),
        ("and", "and_sub_policy", "composite", False),
        ("drop", "drop_sub_policy", "not", True),
        ("drop", "drop_sub_policy", "drop", False),
        ("composite", "composite_sub_policy", "and", True),
        ("composite", "composite_sub_policy", "not", False),
        ("not", "not_sub_policy", "and", False),
        ("not", "not_sub_policy", "always_sample", True),
        ("and", "and_sub_policy", "", False),
    ],
)
def test_what_may_stand_inside(kind: str, key: str, part: str, fine: bool) -> None:
    """As upstream: of those that hold others only `not`, or `and`, in some."""
    inside: dict[str, Any] = {"name": "x", "type": part}
    if part == "not":
        inside["not"] = {"not_sub_policy": YES}
    block = {key: inside if kind == "not" else [inside]}
    if fine:
        assert made(kind, **block) is not None
        return
    with pytest.raises(ValueError, match="unknown sampling policy type") as caught:
        made(kind, **block)
    assert "type" in str(caught.value)


def test_a_policy_needs_what_its_parts_need() -> None:
    """The costliest of them."""
    text = {"name": "t", "type": "string_attribute", "string_attribute": {"key": "k"}}
    assert needs_of(made("and", and_sub_policy=[YES, text])) is Needs.SPANS
    assert needs_of(made("and", and_sub_policy=[YES, BIG])) is Needs.SUMMARY
    assert needs_of(made("not", not_sub_policy=text)) is Needs.SPANS


def composite(total: int, *parts: dict[str, Any], **percents: int) -> Any:
    """A composite policy with allocations in percent by name."""
    rates = [{"policy": name, "percent": n} for name, n in percents.items()]
    return made(
        "composite",
        max_total_spans_per_second=total,
        composite_sub_policy=list(parts),
        rate_allocation=rates,
    )


def test_the_first_part_that_keeps_a_trace_owns_it() -> None:
    """What does not fit into its share is not kept by a later one."""
    low = {
        "name": "low",
        "type": "numeric_attribute",
        "numeric_attribute": {"key": "tag", "max_value": 100},
    }
    policy = composite(3, low, YES, low=34, yes=34)
    said = [keeps(policy, of_spans(1, tag)) for tag in (10, 11, 1001, 1002)]
    assert said == [True, False, True, False]


def test_a_second_has_its_own_budget() -> None:
    """Counters begin anew when the second changes, also backwards."""
    policy = composite(10, YES, yes=100)
    one = of_spans(1)
    kept = [policy.evaluate(one, 5 * SECOND + n) for n in range(11)]
    assert kept == [Vote.SAMPLED] * 10 + [Vote.NOT_SAMPLED]
    assert policy.evaluate(one, 6 * SECOND) is Vote.SAMPLED
    assert policy.evaluate(one, 5 * SECOND) is Vote.SAMPLED


def test_what_does_not_fit_is_not_charged() -> None:
    """A smaller trace may fit after it."""
    policy = composite(8, YES, yes=100)
    said = [keeps(policy, of_spans(count)) for count in (5, 5, 3)]
    assert said == [True, False, True]


def test_shares_are_percentages_or_equal() -> None:
    """The last entry of a name counts; 0 or none is an equal share, cut to a whole."""
    config = CompositeConfig.model_validate(
        {
            "max_total_spans_per_second": 100,
            "composite_sub_policy": [{**YES, "name": n} for n in "abc"],
            "rate_allocation": [
                {"policy": "a", "percent": 10},
                {"policy": "a", "percent": 29},
                {"policy": "b", "percent": 0},
            ],
        }
    )
    # 0.29 * 100 is less than 29 in floating numbers.
    assert config.allocations() == [28, 33, 33]


@pytest.mark.parametrize(
    ("rate", "burst", "costs", "kept"),
    [
        (3, 3, [1, 1, 1, 1], "SSSN"),
        (3, 2, [3, 3, 3], "NNN"),
        (2, 0, [1, 1, 1, 1, 1], "SSSSN"),
        (0, 5, [1, 1, 1, 1, 1, 1], "SSSSSN"),
        (0, 0, [1], "N"),
        (-1, 0, [1], "N"),
        (10, 10, [4, 7, 6], "SNS"),
    ],
)
def test_rate_limiting_spends_a_bucket(
    rate: int, burst: int, costs: list[int], kept: str
) -> None:
    """Full at the start; what it cannot pay takes nothing out of it."""
    policy = made("rate_limiting", spans_per_second=rate, burst_capacity=burst)
    said = ["S" if keeps(policy, of_spans(cost)) else "N" for cost in costs]
    assert "".join(said) == kept


def test_bytes_limiting_spends_sizes_as_the_collector_counts() -> None:
    """A trace of one empty span has 42 bytes; sizes are measured if a policy asks,
    also inside of another one."""
    block = {"bytes_per_second": 0, "burst_capacity": 84}
    inside = {"name": "b", "type": "bytes_limiting", "bytes_limiting": block}
    payload = otlp.request(otlp.span(TRACE, bytes(7) + b"\x01", name=""))
    for policy in (
        made("bytes_limiting", **block),
        made("and", and_sub_policy=[inside]),
        composite(100, inside),
    ):
        judge = Judge([NamedPolicy("p", policy)])
        assert judge.measures
        (part,) = group(payload, HeaderCache(1), measured=judge.measures)
        record = TraceRecord(TRACE, 0)
        record.summary.add(part)
        assert [keeps(policy, record) for _ in range(3)] == [True, True, False]
    assert not Judge([NamedPolicy("p", made("and", and_sub_policy=[YES]))]).measures


def test_the_bucket_fills_with_time() -> None:
    """To the nanosecond, and never beyond the burst."""
    bucket = TokenBucket(4, 2)
    assert [bucket.take(1, 0) for _ in range(4)] == [True, True, False, False]
    assert not bucket.take(2, 499_000_000)
    assert bucket.take(2, 500_000_000)
    assert bucket.take(2, 3600 * SECOND)
    assert not bucket.take(1, 3600 * SECOND)
    large = TokenBucket(1000, 1000)
    assert large.take(1000, 0)
    assert not large.take(1, 999_998)
    assert large.take(1, 1_000_000)
    never = TokenBucket(0, 5)
    assert never.take(5, 0)
    assert not never.take(1, 10**6 * SECOND)


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, SECOND)), max_size=60))
def test_a_bucket_never_gives_more_than_came(steps: list[tuple[int, int]]) -> None:
    """Burst plus what the time brought bounds what is kept, in any history."""
    bucket = TokenBucket(7, 15)
    now_ns = 0
    given_out = 0
    for cost, wait_ns in steps:
        now_ns += wait_ns
        given_out += cost * bucket.take(cost, now_ns)
        assert given_out <= 15 + 7 * now_ns / SECOND + 1e-6
