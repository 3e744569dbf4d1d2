"""Bytes that count the work that is done with them."""

from __future__ import annotations

from typing import Any

__all__ = ["CountingBytes"]


class CountingBytes(bytes):
    """Bytes that count what is read of them, and copied out of them.

    Compiled code reads past the counter: it is for the plain form of a module.
    """

    work = 0

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        self.work += 1 if isinstance(key, int) else 1 + len(found)
        return found
