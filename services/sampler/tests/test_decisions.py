"""The bounded memory of decisions."""

from __future__ import annotations

from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from tailring_sampler.decisions import DecisionMemory
from tailring_sampler.doors import Decision

SAMPLED = Decision.SAMPLED
NOT = Decision.NOT_SAMPLED


def trace(number: int) -> bytes:
    """An id that differs from others in its left half only."""
    return number.to_bytes(8, "big") + bytes(8)


def test_a_memory_of_size_zero_is_off() -> None:
    """Without a cache nothing is remembered and the caller is told."""
    memory = DecisionMemory(sampled_max=0, not_sampled_max=-1)
    assert not memory.enabled
    assert not memory.put(trace(1), SAMPLED)
    assert not memory.put(trace(1), NOT)
    assert memory.lookup(trace(1)) is None


def test_each_kind_has_its_own_cache() -> None:
    """A memory for kept ids alone does not remember the others."""
    memory = DecisionMemory(sampled_max=2, not_sampled_max=0)
    assert memory.put(trace(1), SAMPLED)
    assert not memory.put(trace(2), NOT)
    assert not memory.put(trace(3), Decision.DROPPED)
    assert memory.lookup(trace(1)) is SAMPLED


def test_the_least_recently_used_is_forgotten() -> None:
    """A look-up counts as a use."""
    memory = DecisionMemory(sampled_max=2, not_sampled_max=2)
    memory.put(trace(1), SAMPLED)
    memory.put(trace(2), SAMPLED)
    assert memory.lookup(trace(1)) is SAMPLED
    memory.put(trace(3), SAMPLED)
    assert memory.lookup(trace(2)) is None
    assert memory.lookup(trace(1)) is SAMPLED


def test_ids_with_equal_right_halves_are_apart() -> None:
    """The whole id is the key; upstream's right half would mix these two up."""
    memory = DecisionMemory(sampled_max=4, not_sampled_max=4)
    memory.put(trace(1), SAMPLED)
    memory.put(trace(2), NOT)
    assert memory.lookup(trace(1)) is SAMPLED
    assert memory.lookup(trace(2)) is NOT


def test_kept_ids_are_asked_first() -> None:
    """An id in both caches counts as kept."""
    memory = DecisionMemory(sampled_max=4, not_sampled_max=4)
    memory.put(trace(1), NOT)
    memory.put(trace(1), SAMPLED)
    assert memory.lookup(trace(1)) is SAMPLED


def test_everything_remembered_can_be_listed() -> None:
    """The list holds both kinds, for a hand-over to another sampler."""
    memory = DecisionMemory(sampled_max=4, not_sampled_max=4)
    memory.put(trace(1), SAMPLED)
    memory.put(trace(2), Decision.DROPPED)
    assert dict(memory.items()) == {trace(1): SAMPLED, trace(2): Decision.DROPPED}


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=60))
def test_a_memory_is_a_list_of_recent_uses(steps: list[tuple[int, bool]]) -> None:
    """After any uses exactly the last few ids are known: written or looked up."""
    memory = DecisionMemory(sampled_max=4, not_sampled_max=0)
    recent: OrderedDict[int, None] = OrderedDict()
    for number, written in steps:
        known = number in recent
        if written:
            memory.put(trace(number), SAMPLED)
        else:
            assert memory.lookup(trace(number)) is (SAMPLED if known else None)
        if written or known:
            recent[number] = None
            recent.move_to_end(number)
        if len(recent) > 4:
            recent.popitem(last=False)
        assert {one for one, _ in memory.items()} == {trace(n) for n in recent}
