"""Splitting by every key against decoded messages, on generated requests."""

from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailring_otlpwire import (
    LOGS,
    METRICS,
    TRACES,
    RoutingRule,
    Split,
    routing_keys,
    split_by,
    validate,
)
from tailring_testkit.routing_reference import UNROUTABLE, keys_of
from tailring_testkit.signal_requests import Item, items_of, requests_of
from tailring_testkit.wire import field

PROPERTY = settings(max_examples=60, deadline=None)
TABLES = st.lists(st.integers(0, 4), min_size=1, max_size=9)
PLAIN_NAMES = ["service.name", "a", "b", "é", "none"]
NAMES = st.lists(
    st.sampled_from(
        [*PLAIN_NAMES, "span.kind", "span.name", "log.body", "log.severity"]
    ),
    min_size=1,
    max_size=4,
)
PLAIN_RULES = [
    *(RoutingRule(TRACES, key) for key in ("traceID", "service")),
    *(RoutingRule(LOGS, key) for key in ("service", "traceID", "resource")),
    *(RoutingRule(METRICS, key) for key in ("service", "resource", "metric")),
    RoutingRule(METRICS, "streamID"),
]
RULES = st.one_of(
    st.sampled_from(PLAIN_RULES),
    st.builds(
        RoutingRule,
        st.sampled_from([TRACES, LOGS, METRICS]),
        st.just("attributes"),
        NAMES,
    ),
)
QUESTIONS = RULES.flatmap(lambda rule: st.tuples(st.just(rule), requests_of(rule.kind)))
Question = tuple[RoutingRule, bytes]


def is_by_chance(rule: RoutingRule) -> bool:
    """Whether some keys of a rule are made up."""
    return rule.kind == LOGS and rule.key == "traceID"


def is_made_up(key: bytes) -> bool:
    """Whether a key is that of a record without a trace id."""
    return len(key) == 32 and key.endswith(b"0" * 24)


def expected_keys(rule: RoutingRule, payload: bytes) -> list[bytes]:
    """The keys of the items that can be routed."""
    keys = keys_of(payload, rule.kind, rule.key, rule.attributes)
    return [key for key in keys if key != UNROUTABLE]


@PROPERTY
@given(QUESTIONS)
def test_keys_are_those_of_decoded_messages(question: Question) -> None:
    """Each item has the key that its decoded message has."""
    rule, payload = question
    expected = expected_keys(rule, payload)
    found = routing_keys(payload, rule)
    assert len(found) == len(expected)
    for key, known in zip(found, expected, strict=True):
        assert key == known or (is_by_chance(rule) and not known and is_made_up(key))


def owners_of(rule: RoutingRule, payload: bytes, table: list[int]) -> list[int | None]:
    """The owner of each item, of those without a key none."""
    found = iter(routing_keys(payload, rule))
    keys = keys_of(payload, rule.kind, rule.key, rule.attributes)
    return [
        None if key == UNROUTABLE else table[crc32(next(found)) % len(table)]
        for key in keys
    ]


@PROPERTY
@given(QUESTIONS, TABLES)
def test_each_owner_gets_its_items(question: Question, table: list[int]) -> None:
    """A part holds its owner's items, in their order, below their own headers."""
    rule, payload = question
    expected: dict[int, list[Item]] = {}
    owners = owners_of(rule, payload, table)
    for owner, item in zip(owners, items_of(payload, rule.kind), strict=True):
        if owner is not None:
            expected.setdefault(owner, []).append(item)
    parts = split_by(payload, table, rule).parts
    found = {part.owner: items_of(part.payload, rule.kind) for part in parts}
    assert found == expected
    assert [part.owner for part in parts] == list(expected)


@PROPERTY
@given(QUESTIONS, TABLES)
def test_every_item_is_in_a_part_or_counted(
    question: Question, table: list[int]
) -> None:
    """Items of the parts and items without a key are all items; parts are valid."""
    rule, payload = question
    split = split_by(payload, table, rule)
    for part in split.parts:
        assert part.items == validate(part.payload, rule.kind) > 0
    items = sum(part.items for part in split.parts)
    assert items + split.unroutable_items == validate(payload, rule.kind)


@PROPERTY
@given(QUESTIONS.filter(lambda question: not is_by_chance(question[0])), TABLES)
def test_a_part_is_split_as_the_request_was(
    question: Question, table: list[int]
) -> None:
    """All items of a part have its owner when the part itself is split."""
    rule, payload = question
    for part in split_by(payload, table, rule).parts:
        again = split_by(part.payload, table, rule).parts
        assert [(one.owner, one.items) for one in again] == [(part.owner, part.items)]


@PROPERTY
@given(QUESTIONS)
def test_a_single_owner_gets_the_request_itself(question: Question) -> None:
    """Nothing is copied when everything has one owner."""
    rule, payload = question
    split = split_by(payload, [2], rule)
    if not split.unroutable_items:
        assert all(part.payload is payload for part in split.parts)


def test_randomness_is_the_callers() -> None:
    """Records without a trace id are spread; one seed gives one cut."""
    record = field(2, field(3, b"INFO"))
    payload = field(1, field(2, record * 200))
    rule = RoutingRule(LOGS, "traceID")
    table = [0, 1, 2, 3]

    def cut(seed: int) -> list[tuple[int, int]]:
        """Owner and items of each part."""
        parts = split_by(payload, table, rule, seed=seed).parts
        return [(part.owner, part.items) for part in parts]

    assert cut(7) == cut(7) != cut(8)
    assert all(20 < items < 90 for _, items in cut(7))
    assert len(set(routing_keys(payload, rule, seed=7))) == 200


def test_an_empty_table() -> None:
    """A table without owners is an error of the caller, whatever the rule."""
    for rule in PLAIN_RULES:
        with pytest.raises(ValueError, match="owners is empty"):
            split_by(b"", [], rule)


def test_an_empty_request() -> None:
    """A request of nothing has no parts and no keys."""
    for rule in PLAIN_RULES:
        found = split_by(b"", [0], rule)
        assert isinstance(found, Split)
        assert (found.parts, found.unroutable_items, found.unroutable) == ([], 0, "")
        assert routing_keys(b"", rule) == []
