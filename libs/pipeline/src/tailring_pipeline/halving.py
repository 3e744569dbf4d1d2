"""Finds out which members of a rejected request are to blame.

Rules:

* A request of several members that is rejected as a whole, for what one of them alone
  may have given reason for (`is_suspect`), is sent again in two halves, and each of
  those likewise, until whoever is to blame stands alone. So a bad member takes no other
  with it.
* Members keep their order: the first half and all that becomes of it come before the
  second.
* The bound: of n members at most 2n - 1 requests are made, the first one included, and
  no member is in more than 1 + ceil(log2 n) of them. One bad member of 1,000 costs some
  twenty requests. Only if most are bad it would be less to send each alone, by half.

It sends nothing and knows no answers: whoever sends asks `take` what is next and tells
with `split` what was rejected. How many members a request has is bounded there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Generic, TypeVar

from tailring_pipeline.consumer import Rejected
from tailring_pipeline.outcome import Outcome

__all__ = ["SPLIT_REASONS", "Halving", "is_suspect"]

T = TypeVar("T")

# Reasons of `Rejected` that may be the fault of one member: gRPC's codes in lower case,
# then our own. Others hold for every member (no permission, no such method) or were
# found item by item, so that nothing is learned from halves.
SPLIT_REASONS: Final = frozenset(
    {
        "invalid_argument",
        "internal",
        "unknown",
        "resource_exhausted",
        "malformed",
        "too_large",
    }
)


def is_suspect(outcome: Outcome, items: int) -> bool:
    """Whether none of a request's ``items`` was taken, for ever, and a part of them
    alone may have been the reason."""
    if not isinstance(outcome, Rejected) or outcome.reason not in SPLIT_REASONS:
        return False
    return outcome.items is None or outcome.items >= items


class Halving(Generic[T]):
    """What is still to be sent of one request; see the module's rules."""

    def __init__(self, members: Sequence[T]) -> None:
        # The next group is the last.
        self._groups = [list(members)] if members else []

    def take(self) -> list[T]:
        """The members to be sent next in one request; empty when none are left."""
        return self._groups.pop() if self._groups else []

    def split(self, members: Sequence[T]) -> bool:
        """Have the halves of a group that was taken sent next; the caller may have left
        out some of it. False: there is nothing to halve, one member stands alone."""
        if len(members) < 2:
            return False
        middle = len(members) // 2
        self._groups += [list(members[middle:]), list(members[:middle])]
        return True
