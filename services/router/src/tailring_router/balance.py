"""Whether one backend gets far more than the others, and the likely cause.

Every minute the items that each backend was sent are compared: one that got more than
twice the mean is *hot*. Why is read off a sample of routing keys, taken from a few
parts a second: one key that is most of the sample is a giant trace or a hot service, a
handful of keys are trace ids that repeat; else it may be the ring itself.

Sequential trace ids are looked for in the same sample. This ring spreads them well, but
an FNV-based `probabilistic` policy behind it does not choose among them at random.

Pure: it knows no clock and no log. A sample is bounded in keys, whatever is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

__all__ = ["HOT_RATIO", "KeySample", "Skew", "find_skew"]

# A backend is hot that gets more than so many times the mean.
HOT_RATIO: Final = 2.0
# With fewer items in a window, a mean says nothing.
ITEMS_MIN: Final = 1_000
# Keys that a sample holds; more are not told apart.
KEYS_MAX: Final = 5_000
# Of the keys of a hot backend, one with this share is the cause.
DOMINANT: Final = 0.5
# Up to so many keys in a sample cannot spread over backends.
FEW_KEYS: Final = 20
# The ring is named as the cause when it gives a backend so many times the mean share.
RING_RATIO: Final = 1.5
# Ids are sequential when so many of them follow closely on another.
SEQUENCE_MIN: Final = 50
SEQUENCE_SHARE: Final = 0.8
SEQUENCE_STEP_MAX: Final = 1 << 24

_TRACE_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Skew:
    """One hot backend: its items over the mean, its share of all, and why."""

    address: str
    ratio: float
    share: float
    cause: str


class KeySample:
    """Routing keys seen in one window, with the backend that they went to."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, bytes], int] = {}

    def add(self, address: str, keys: Iterable[bytes]) -> None:
        """One part for ``address``: the key of each of its items."""
        for key in keys:
            at = (address, key)
            if at in self._items:
                self._items[at] += 1
            elif len(self._items) < KEYS_MAX:
                self._items[at] = 1

    def keys(self) -> set[bytes]:
        """Every key that was seen."""
        return {key for _, key in self._items}

    def of(self, address: str) -> dict[bytes, int]:
        """The items seen of each key that went to ``address``."""
        return {key: n for (owner, key), n in self._items.items() if owner == address}

    def sequential(self) -> bool:
        """Whether trace ids follow each other like the numbers of a counter."""
        ids = sorted(
            int.from_bytes(key) for key in self.keys() if len(key) == _TRACE_ID_BYTES
        )
        if len(ids) < SEQUENCE_MIN:
            return False
        close = sum(b - a <= SEQUENCE_STEP_MAX for a, b in pairwise(ids))
        return close >= SEQUENCE_SHARE * (len(ids) - 1)


def find_skew(
    sent: Mapping[str, int],
    *,
    sample: KeySample,
    ring_shares: Mapping[str, float],
    routing_key: str,
) -> Skew | None:
    """The hottest backend of a window, if it is hot.

    ``sent`` has the items of every backend of the ring, ``ring_shares`` the part of the
    key space that each owns.
    """
    total = sum(sent.values())
    if len(sent) < 2 or total < ITEMS_MIN:
        return None
    address = max(sent, key=lambda one: (sent[one], one))
    ratio = sent[address] * len(sent) / total
    if ratio <= HOT_RATIO:
        return None
    ring_ratio = ring_shares.get(address, 0.0) * len(sent)
    cause = _cause(address, sample=sample, ring_ratio=ring_ratio, by=routing_key)
    return Skew(address, ratio, sent[address] / total, cause)


def _cause(address: str, *, sample: KeySample, ring_ratio: float, by: str) -> str:
    items = sample.of(address)
    seen = len(sample.keys())
    if not items:
        return "unknown: none of its parts was looked at"
    top = max(items, key=lambda key: (items[key], key))
    share = items[top] / sum(items.values())
    name = _shown(top, by)
    if by == "traceID" and seen <= FEW_KEYS:
        return (
            f"few or constant trace ids: {seen} in the sample; a sender that reuses"
            " its ids cannot be spread"
        )
    if share >= DOMINANT:
        what = {"traceID": "one giant trace", "service": "a hot service"}.get(
            by, "a hot key"
        )
        return f"{what}: {name} is {share:.0%} of what it got (routing_key {by})"
    if seen <= FEW_KEYS:
        return f"few keys: {seen} in the sample (routing_key {by})"
    if ring_ratio >= RING_RATIO:
        return f"the ring gives it {ring_ratio:.1f} times the mean share of keys"
    return "many keys that happen to be its own; none stands out"


def _shown(key: bytes, by: str) -> str:
    if by == "traceID" and len(key) == _TRACE_ID_BYTES:
        return key.hex()
    return key[:100].decode(errors="replace")
