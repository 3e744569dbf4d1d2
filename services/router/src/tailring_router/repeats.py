"""What became of requests that their senders will send again.

A request that is refused, or whose sender stopped waiting, is sent again by its sender
with the same bytes. What was delivered of it, or refused for good, is not sent again:
by a hash of the whole request it is remembered what *remains* to be sent, for as long
as senders usually repeat. What remains is routed on the ring of the moment it comes
again, so that it does not matter whether the ring has changed in between. Parts that
are still in flight when their sender leaves are *followed*: the repeat shares their
fate, and sends only those that did not arrive.

An entry serves one repeat: it is used up when the same bytes come, and whatever comes
after that is new. So a request that only looks like another one, as log records may,
is taken for a repeat at most as often as a sender was refused or left. Who was answered
that all is well is not expected to repeat, and nothing is remembered of his request;
unless he was *late*, at his deadline or so shortly before that the answer may not have
come in time. Then it is remembered that all has arrived: a hash and a few numbers.

No clock, no I/O. Bounded in entries, in bytes and in time, and what is in flight by
what may be in flight. It costs nothing while nothing fails: without an entry no hash is
computed. What it does not know: requests that come again in other bytes, as they do
when a batch processor stands before; they are delivered whole.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Protocol

from tailring_router.part import MOVED, REPEATED, Outcome, Part, Result

if TYPE_CHECKING:
    import asyncio

    from tailring_pipeline import Batch

__all__ = ["KEEP_NS", "Remains", "Repeats", "Unsettled", "follow", "is_late", "key_of"]

# Longer than the 60 s that agents and SDKs wait at most between two tries.
KEEP_NS: Final = 120_000_000_000
ENTRIES_MAX: Final = 65_536
BYTES_MAX: Final = 64 << 20
# What an answer may need to its sender, at most: no more than a tenth of the time there
# was, so that one who waits briefly and is answered at once is not late.
_ANSWER_NS: Final = 250_000_000
_ANSWER_SHARE: Final = 10


@dataclass(frozen=True, slots=True)
class Remains:
    """What has to be done when a request of ``items`` comes again.

    ``remaining`` was not delivered. ``refused``: so many items were refused for good,
    and why. ``flying`` is in flight. All other items have arrived.
    """

    items: int
    remaining: Batch
    refused: tuple[tuple[Result, int], ...] = ()
    flying: tuple[Part, ...] = ()

    @property
    def all_items(self) -> bool:
        """True when everything has to be sent, as if it were not known."""
        return self.remaining.items >= self.items

    @property
    def size_bytes(self) -> int:
        """What it takes to remember this, without the object itself."""
        details = sum(len(result.detail) for result, _ in self.refused)
        return len(self.remaining.payload) + details

    def settled(self) -> list[Part]:
        """What is not sent again, as parts without bytes whose fate is known."""
        refused_items = sum(items for _, items in self.refused)
        flying_items = sum(part.items for part in self.flying)
        sent_items = self.remaining.items + refused_items + flying_items
        parts = [
            _resolved(items, replace(result, outcome=Outcome.REJECTED, rejected=0))
            for result, items in self.refused
        ]
        if self.items > sent_items:
            parts.append(_resolved(self.items - sent_items, REPEATED))
        return parts


class Unsettled(Protocol):
    """A request of which parts are in flight although its sender has left."""

    def remains(self) -> Remains:
        """What would have to be done if it came again now."""


class Repeats:
    """What remains of requests, oldest first; one owner."""

    def __init__(
        self,
        *,
        entries_max: int = ENTRIES_MAX,
        bytes_max: int = BYTES_MAX,
        keep_ns: int = KEEP_NS,
    ) -> None:
        self._entries_max = entries_max
        self._bytes_max = bytes_max
        self._keep_ns = keep_ns
        self._kept: OrderedDict[bytes, tuple[int, Remains]] = OrderedDict()
        self._unsettled: dict[bytes, Unsettled] = {}
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size_bytes(self) -> int:
        """Bytes that are remembered, because they remain to be sent."""
        return self._size_bytes

    def keep(self, key: bytes, remains: Remains, now_ns: int) -> None:
        """The request of that key may come again, and then this is to be done."""
        self._expire(now_ns)
        self._forget(key)
        if remains.all_items:
            return
        self._kept[key] = (now_ns + self._keep_ns, remains)
        self._size_bytes += remains.size_bytes
        while self._size_bytes > self._bytes_max or len(self) > self._entries_max:
            self._forget(next(iter(self._kept)))

    def await_fate(self, key: bytes, request: Unsettled) -> None:
        """The request of that key may come again, and parts of it are in flight;
        `settled` is called when they are not."""
        self._unsettled[key] = request

    def settled(self, key: bytes, request: Unsettled, now_ns: int) -> None:
        """No part of the request is in flight any more."""
        if self._unsettled.get(key) is request:
            del self._unsettled[key]
            self.keep(key, request.remains(), now_ns)

    def take(self, payload: bytes, now_ns: int) -> Remains | None:
        """What is to be done instead of sending the whole request; asked once."""
        if not self._kept and not self._unsettled:
            return None
        self._expire(now_ns)
        key = key_of(payload)
        unsettled = self._unsettled.pop(key, None)
        return self._forget(key) if unsettled is None else unsettled.remains()

    def _forget(self, key: bytes) -> Remains | None:
        _, remains = self._kept.pop(key, (0, None))
        if remains is not None:
            self._size_bytes -= remains.size_bytes
        return remains

    def _expire(self, now_ns: int) -> None:
        while self._kept:
            key, (until_ns, _) = next(iter(self._kept.items()))
            if until_ns > now_ns:
                return
            self._forget(key)


def follow(leader: Part, part: Part) -> None:
    """Resolve ``part`` when the fate of ``leader``, the same bytes, is known: moved if
    they did not arrive."""
    leader.result.add_done_callback(partial(_share_fate, part))


def is_late(request: Batch | None, *, began_ns: int, now_ns: int) -> bool:
    """Whether an answer of now may come after the deadline of who sent the request, if
    he has one; ``began_ns`` is when it was seen."""
    if request is None or request.deadline_ns is None:
        return False
    had_ns = max(0, request.deadline_ns - began_ns)
    answer_ns = min(_ANSWER_NS, had_ns // _ANSWER_SHARE)
    return now_ns >= request.deadline_ns - answer_ns


def key_of(payload: bytes) -> bytes:
    """What a request is known by."""
    return blake2b(payload, digest_size=16).digest()


def _share_fate(part: Part, answer: asyncio.Future[Result]) -> None:
    result = answer.result()
    if result.outcome is Outcome.DELIVERED:
        part.resolve(replace(result, outcome=Outcome.REPEATED))
    elif result.outcome in (Outcome.REPEATED, Outcome.REJECTED):
        part.resolve(result)
    else:
        part.resolve(MOVED)


def _resolved(items: int, result: Result) -> Part:
    part = Part(b"", items, address="")
    part.resolve(result)
    return part
