"""How one answer for a joined or a cut batch becomes the answer of each sender."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from tailring_otlpwire import WireError, chunk, count, validate
from tailring_pipeline.consumer import Batch, Refused, Rejected
from tailring_pipeline.outcome import Outcome
from tailring_pipeline.per_signal import KINDS

__all__ = ["deliver_cut", "deliver_pieces", "shares_of"]


def shares_of(outcome: Outcome, batches: Sequence[Batch]) -> list[Outcome]:
    """The answer to each of the joined ``batches``, in order.

    Nobody can tell whose items a partial rejection means: they are given to the first
    members, so that the counts add up and nobody sends what was taken again. A refusal
    is for everybody, also when a part was taken: that part comes twice. No two get the
    same object, for each of several tasks raises its own.
    """
    if len(batches) == 1:
        return [outcome]
    if isinstance(outcome, Refused):
        return [_refusal_like(outcome) for _ in batches]
    if outcome is None:
        return [None for _ in batches]
    if outcome.items is None:
        return [Rejected(outcome.reason, outcome.detail) for _ in batches]
    left = outcome.items
    shares: list[Outcome] = []
    for batch in batches:
        items = min(left, batch.items)
        left -= items
        share = Rejected(outcome.reason, outcome.detail, items=items)
        shares.append(share if items else None)
    return shares


async def deliver_cut(
    batch: Batch, items_max: int, deliver: Callable[[Batch], Awaitable[Outcome]]
) -> Outcome:
    """Deliver ``batch`` in pieces of at most ``items_max``; see `deliver_pieces`."""
    try:
        pieces = _pieces(batch, items_max)
    except WireError as error:
        return Rejected("malformed", str(error))
    return await deliver_pieces(pieces, deliver)


async def deliver_pieces(
    pieces: Sequence[Batch], deliver: Callable[[Batch], Awaitable[Outcome]]
) -> Outcome:
    """Deliver the pieces of a batch one after another.

    The first refusal ends it and says what remains: what was not sent, and the pieces
    that were rejected as a whole before. Without one, rejections are added up.
    """
    rejected: list[Batch] = []
    last: Rejected | None = None
    rejected_items = 0
    for index, piece in enumerate(pieces):
        outcome = await deliver(piece)
        if isinstance(outcome, Refused):
            current = outcome.remaining or piece
            rest = [*rejected, current, *pieces[index + 1 :]]
            return _refusal_like(outcome, remaining=_joined(rest))
        if outcome is not None:
            last = outcome
            rejected_items += outcome.items_of(piece)
            if outcome.items_of(piece) == piece.items:
                rejected.append(piece)
    return last and Rejected(last.reason, last.detail, items=rejected_items)


def _pieces(batch: Batch, items_max: int) -> list[Batch]:
    """The pieces; the whole where its headers, repeated in each, outweigh the rest."""
    payload, kind = batch.payload, KINDS[batch.signal]
    try:
        cut = chunk(payload, items_max, copies_bytes_max=len(payload), kind=kind)
    except WireError:
        validate(payload, kind)  # raises unless it is the headers
        return [batch]
    return [Batch(piece, count(piece, kind), batch.signal) for piece in cut]


def _joined(batches: Sequence[Batch]) -> Batch:
    payload = b"".join(batch.payload for batch in batches)
    items = sum(batch.items for batch in batches)
    return Batch(payload, items, batches[0].signal)


def _refusal_like(refused: Refused, *, remaining: Batch | None = None) -> Refused:
    return Refused(
        refused.reason,
        refused.detail,
        retry_after_s=refused.retry_after_s,
        remaining=remaining,
    )
