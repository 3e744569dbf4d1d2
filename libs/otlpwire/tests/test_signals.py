"""Logs and metrics against the protobuf library: counted, cut and joined."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailring_otlpwire import (
    LOGS,
    METRICS,
    TRACES,
    chunk,
    count,
    join_requests,
    validate,
)
from tailring_testkit.signal_requests import items_of, requests_of

PROPERTY = settings(max_examples=50, deadline=None)
KINDS = st.sampled_from([TRACES, LOGS, METRICS])
ANY_KIND = KINDS.flatmap(lambda kind: st.tuples(st.just(kind), requests_of(kind)))


@PROPERTY
@given(ANY_KIND)
def test_items_are_counted(request: tuple[int, bytes]) -> None:
    """Both counts are the number of items that the library sees."""
    kind, payload = request
    expected = len(items_of(payload, kind))
    assert validate(payload, kind) == count(payload, kind) == expected


@PROPERTY
@given(ANY_KIND, st.integers(1, 6))
def test_chunks_hold_the_items_in_order(
    request: tuple[int, bytes], items_max: int
) -> None:
    """Chunks hold each item below its own headers, as many as allowed but the last."""
    kind, payload = request
    chunks = [items_of(each, kind) for each in chunk(payload, items_max, kind)]
    assert [item for each in chunks for item in each] == items_of(payload, kind)
    assert all(len(each) == items_max for each in chunks[:-1])
    assert all(0 < len(each) <= items_max for each in chunks)


@PROPERTY
@given(ANY_KIND)
def test_chunks_are_valid(request: tuple[int, bytes]) -> None:
    """What is cut is accepted again, with the same number of items."""
    kind, payload = request
    chunks = chunk(payload, 1, kind)
    assert sum(validate(each, kind) for each in chunks) == validate(payload, kind)


@PROPERTY
@given(
    KINDS.flatmap(lambda k: st.tuples(st.just(k), st.lists(requests_of(k), max_size=3)))
)
def test_joined_requests_hold_every_item(
    request: tuple[int, list[bytes]],
) -> None:
    """Requests of each kind are joined without losing or changing an item."""
    kind, payloads = request
    joined = items_of(join_requests(payloads), kind)
    assert Counter(joined) == Counter(items_of(b"".join(payloads), kind))


@pytest.mark.parametrize("kind", [-1, 3, 255])
def test_a_kind_that_does_not_exist(kind: int) -> None:
    """Numbers beside the three are errors of the caller."""
    for ask in (validate, count):
        with pytest.raises(ValueError, match="a kind is one of"):
            ask(b"", kind)
    with pytest.raises(ValueError, match="a kind is one of"):
        chunk(b"", 1, kind)
