"""Bytes in the making: ranges of a source that are copied together at the end.

A list of fragments costs some fifty bytes for each, which a hostile request of tiny
fields would multiply. Therefore fragments are joined whenever FRAGMENTS_MAX of them
have gathered: the memory stays within a small multiple of the bytes, and each byte is
copied once more for each list that it passes through.
"""

from typing import Final

from mypy_extensions import i64, mypyc_attr

FRAGMENTS_MAX: Final = 1024


@mypyc_attr(acyclic=True)
class Fragments:
    """Bytes that are appended in pieces; `size` is their number."""

    def __init__(self) -> None:
        self.size: i64 = 0
        self._items: list[bytes] = []
        self._joined: i64 = 0  # that many items at the front are joined ones

    def add(self, fragment: bytes) -> None:
        """Append bytes, which are shared and not copied now."""
        self._items.append(fragment)
        self.size += len(fragment)
        if len(self._items) - self._joined >= FRAGMENTS_MAX:
            self._join()

    def _join(self) -> None:
        start = self._joined
        self._items[start:] = [b"".join(self._items[start:])]
        self._joined = start + 1

    def take_all(self, other: "Fragments") -> None:
        """Append what `other` holds and leave it empty."""
        self._items.extend(other._items)
        self.size += other.size
        if len(self._items) - self._joined >= FRAGMENTS_MAX:
            self._join()
        other._items = []
        other._joined = 0
        other.size = 0

    def value(self) -> bytes:
        """Return the bytes."""
        items = self._items
        return items[0] if len(items) == 1 else b"".join(items)
