"""Which backend is hot, and why."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailring_router.balance import HOT_RATIO, KEYS_MAX, KeySample, find_skew

EVEN = {"a": 0.25, "b": 0.25, "c": 0.25, "d": 0.25}
HOT_A = {"a": 70_000, "b": 10_000, "c": 10_000, "d": 10_000}


def random_ids(count: int, seed: int = 1) -> list[bytes]:
    source = random.Random(seed)
    return [source.randbytes(16) for _ in range(count)]


def cause(
    sample: KeySample,
    *,
    shares: dict[str, float] | None = None,
    routing_key: str = "traceID",
) -> str:
    skew = find_skew(
        HOT_A, sample=sample, ring_shares=shares or EVEN, routing_key=routing_key
    )
    assert skew is not None
    return skew.cause


def sample_of(address: str, keys: list[bytes]) -> KeySample:
    sample = KeySample()
    sample.add(address, keys)
    return sample


def test_the_hottest_backend_is_named_with_its_figures() -> None:
    """A hot backend is told with its ratio to the mean and its share of all."""
    skew = find_skew(HOT_A, sample=KeySample(), ring_shares=EVEN, routing_key="traceID")
    assert skew is not None
    assert (skew.address, skew.ratio, skew.share) == ("a", 2.8, 0.7)


@pytest.mark.parametrize(
    "sent",
    [
        {"a": 200_000, "b": 100_000, "c": 100_000},
        {"a": 999, "b": 0, "c": 0},
        {"a": 1_000_000},
        {},
    ],
    ids=["below twice the mean", "too few items", "one backend", "no backend"],
)
def test_what_is_no_skew(sent: dict[str, int]) -> None:
    """Moderate shares, little traffic and a single backend are no skew."""
    found = find_skew(sent, sample=KeySample(), ring_shares={}, routing_key="traceID")
    assert found is None


@given(st.dictionaries(st.text(min_size=1), st.integers(0, 10**9), min_size=1))
def test_only_more_than_twice_the_mean_is_hot(sent: dict[str, int]) -> None:
    """Whatever is reported has more than HOT_RATIO times the mean, and the most."""
    skew = find_skew(sent, sample=KeySample(), ring_shares={}, routing_key="traceID")
    if skew is not None:
        mean = sum(sent.values()) / len(sent)
        assert sent[skew.address] == max(sent.values())
        assert sent[skew.address] > HOT_RATIO * mean


def test_one_giant_trace_is_the_cause() -> None:
    """A trace that is most of what a backend got is named by its id."""
    giant = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")
    found = cause(sample_of("a", [giant] * 900 + random_ids(100)))
    assert "one giant trace: 4bf92f3577b34da6a3ce929d0e0e4736 is 90%" in found


def test_constant_trace_ids_are_the_cause() -> None:
    """A handful of ids in the whole sample is told as ids that repeat."""
    assert "few or constant trace ids: 3" in cause(sample_of("a", random_ids(3) * 99))


def test_a_hot_service_is_the_cause() -> None:
    """With routing by service the service is named."""
    keys = [b"service.name=checkout|"] * 60 + [b"service.name=cart|"] * 40
    found = cause(sample_of("a", keys), routing_key="service")
    assert "a hot service: service.name=checkout| is 60%" in found


def test_the_ring_is_the_cause() -> None:
    """Where no key stands out, an uneven ring is named."""
    shares = {"a": 0.4, "b": 0.2, "c": 0.2, "d": 0.2}
    found = cause(sample_of("a", random_ids(200)), shares=shares)
    assert "the ring gives it 1.6 times" in found


def test_no_cause_is_made_up() -> None:
    """Where nothing stands out the text says so."""
    assert "none stands out" in cause(sample_of("a", random_ids(200)))
    assert "unknown" in cause(sample_of("b", random_ids(200)))


def test_a_counter_is_seen_and_random_ids_are_not() -> None:
    """Ids that count up are sequential; random, time-prefixed and 64-bit ones not."""
    source = random.Random(7)
    prefixed = [
        (0x65A0_0000 + n // 9).to_bytes(4) + source.randbytes(12) for n in range(200)
    ]
    short = [bytes(8) + source.randbytes(8) for _ in range(200)]
    counted = [(5 << 90 | n * 3).to_bytes(16) for n in range(200)]
    seen = [
        sample_of("a", ids).sequential()
        for ids in (counted, prefixed, short, random_ids(200), counted[:20])
    ]
    assert seen == [True, False, False, False, False]


def test_a_sample_is_bounded() -> None:
    """Beyond its limit a sample counts what it knows and takes no new key."""
    ids = random_ids(KEYS_MAX + 500)
    sample = sample_of("a", ids)
    sample.add("a", [ids[0], ids[-1]])
    assert len(sample.of("a")) == KEYS_MAX
    assert sample.of("a")[ids[0]] == 2
