"""FNV-1a with 64 bits, the hash of the `probabilistic` policy.

The prime is 2**40 + 0x1b3, so the product of each step is taken on two halves of 32
bits: no intermediate value leaves a signed machine word, and the compiled and the plain
form are the same lines.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

__all__ = ["OFFSET_BASIS", "fnv1a_64"]

OFFSET_BASIS: Final = 0xCBF29CE484222325
_PRIME_LOW: Final = 0x1B3
_HALF: Final = 0xFFFFFFFF


def fnv1a_64(data: bytes, state: int = OFFSET_BASIS) -> int:
    """The hash of ``data``; ``state`` is the hash of what stood before it."""
    high: i64 = state >> 32
    low: i64 = state & _HALF
    for byte in data:
        low ^= byte
        product: i64 = low * _PRIME_LOW
        high = (high * _PRIME_LOW + (product >> 32) + (low << 8)) & _HALF
        low = product & _HALF
    high_word: int = high
    low_word: int = low
    return (high_word << 32) | low_word
