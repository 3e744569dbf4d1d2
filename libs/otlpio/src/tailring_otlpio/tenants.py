"""Headers of clients' requests, from the receivers to the exporters.

A receiver with `include_metadata` writes the values of the headers that exporters name
in `metadata_keys` into each resource of the request, as a mark
(`tailring_otlpwire.marked`). So they stay with their items through whatever holds,
groups, joins or cuts them, a queue on disk included, and late spans have theirs. An
exporter takes the marks away again and sends one request for each set of values. Where
no exporter names a key there are no marks, and nothing is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from tailring_otlpwire import WireError, count, marked, unmarked
from tailring_pipeline import (
    KINDS,
    Batch,
    Outcome,
    Rejected,
    deliver_pieces,
    delivery_of,
)

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["MARK_BYTES_MAX", "MARK_TOO_LARGE", "Tenants", "mark_of"]

# Each resource of a request has its mark, so it must be small.
MARK_BYTES_MAX: Final = 4096
MARK_TOO_LARGE: Final = (
    f"the headers of metadata_keys have more than {MARK_BYTES_MAX} bytes"
)
_SETS_MAX: Final = 4096
_SAFE: Final = "".join(map(chr, range(0x20, 0x7F)))

Metadata = tuple[tuple[str, str], ...]
Send = Callable[[Batch, Metadata], Awaitable[None]]


def mark_of(keys: Sequence[str], values_of: Callable[[str], Sequence[str]]) -> bytes:
    """The mark of a request; empty when it has none of these headers."""
    # What no header can carry everywhere is written as in a URL.
    pairs = [
        (key, quote(value, safe=_SAFE)) for key in keys for value in values_of(key)
    ]
    return json.dumps(pairs).encode() if pairs else b""


@lru_cache(_SETS_MAX)
def _pairs(mark: bytes) -> Metadata:
    """What `mark_of` wrote; nothing where the bytes are somebody else's."""
    try:
        return tuple((str(key), str(value)) for key, value in json.loads(mark))
    except (ValueError, TypeError):
        return ()


class Tenants:
    """Requests told apart by the values of ``keys``, for one exporter."""

    def __init__(self, keys: Sequence[str], *, log: FilteringBoundLogger) -> None:
        self._keys = frozenset(key.lower() for key in keys)
        self._log = log

    async def deliver(self, batch: Batch, send: Send) -> None:
        """Send each set of values by itself, without marks.

        Raises as a consumer does; what remains of the batch still has its marks.
        """
        try:
            parts = unmarked(batch.payload)
        except WireError as error:
            raise Rejected("malformed", str(error)) from error
        sets: dict[Metadata, list[tuple[bytes, bytes]]] = {}
        for mark, payload in parts:
            sets.setdefault(self._metadata(mark), []).append((mark, payload))
        if len(sets) <= 1:
            metadata, same = next(iter(sets.items()), ((), parts))
            payload = b"".join(payload for _, payload in same)
            await send(Batch(payload, batch.items, batch.signal), metadata)
            return
        outcome = await deliver_pieces(
            [_piece(some, batch) for some in sets.values()],
            lambda piece: self._deliver_one(piece, send),
        )
        if outcome is not None:
            raise outcome

    async def _deliver_one(self, piece: Batch, send: Send) -> Outcome:
        """Deliver what has one set of values; what remains of it is all of it."""
        metadata = self._metadata(unmarked(piece.payload)[0][0])
        bare = Batch(marked(piece.payload, b""), piece.items, piece.signal)
        return await delivery_of(bare, _Sending(send, metadata), log=self._log)

    def _metadata(self, mark: bytes) -> Metadata:
        if not mark or not self._keys:
            return ()
        return tuple(pair for pair in _pairs(mark) if pair[0] in self._keys)


class _Sending:
    """Sends a batch with its metadata."""

    def __init__(self, send: Send, metadata: Metadata) -> None:
        self._send = send
        self._metadata = metadata

    async def consume(self, batch: Batch) -> None:
        """Send it; see `Consumer`."""
        await self._send(batch, self._metadata)


def _piece(some: Sequence[tuple[bytes, bytes]], batch: Batch) -> Batch:
    payload = b"".join(marked(payload, mark) for mark, payload in some)
    return Batch(payload, count(payload, KINDS[batch.signal]), batch.signal)
