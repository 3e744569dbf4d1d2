"""Batches on their way together: who is a member, and who still waits.

A *member* is one batch with the answer that its sender waits for. Members that were
joined and sent are a *flight*. `deliver_joined` sends them, halves what is rejected
because of one of them (`Halving`), and gives each member the answer that is its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from tailring_pipeline.batch_answers import shares_of
from tailring_pipeline.consumer import Batch, Refused
from tailring_pipeline.halving import Halving, is_suspect
from tailring_pipeline.outcome import Outcome

__all__ = ["Flight", "Member", "abandoned", "deliver_joined", "join"]


class Member:
    """One batch and the answer to it; ``flight`` is set once it was sent."""

    __slots__ = ("answer", "batch", "flight")

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[Outcome] = loop.create_future()
        self.flight: Flight | None = None

    @property
    def waits(self) -> bool:
        """Whether its sender still waits for the answer."""
        return self.flight is None or self in self.flight.waiting

    def settle(self, outcome: Outcome) -> bool:
        """Answer the sender; False when nobody waits or it was answered."""
        if self.flight is not None:
            self.flight.waiting.discard(self)
        if self.answer.done():
            return False
        self.answer.set_result(outcome)
        return True


class Flight:
    """Members that were sent together, and those whose senders wait for answers.

    ``sending`` is cancelled when the last that waits leaves.
    """

    __slots__ = ("members", "sending", "waiting")

    def __init__(self, members: Sequence[Member], sending: asyncio.Future[Any]) -> None:
        self.members = members
        self.sending = sending
        self.waiting = set(members)
        for member in members:
            member.flight = self

    def leave(self, member: Member) -> bool:
        """Its sender waits no more; True when it was the last. Safe twice."""
        if member not in self.waiting:
            return False
        self.waiting.discard(member)
        if self.waiting:
            return False
        self.sending.cancel()
        return True


def join(batches: Sequence[Batch]) -> Batch:
    """Batches of one signal as one, at least one of them."""
    payload = b"".join(batch.payload for batch in batches)
    items = sum(batch.items for batch in batches)
    return Batch(payload, items, batches[0].signal)


def abandoned() -> Refused:
    """The answer to a member whose sender does not wait for it."""
    return Refused("abandoned", "the sender went away")


async def deliver_joined(
    members: Sequence[Member],
    deliver: Callable[[Batch], Awaitable[Outcome]],
    *,
    settle: Callable[[Member, Outcome], object],
    abandon: Callable[[Member], object],
    at_once_max: int = 1,
) -> None:
    """Deliver members as one batch and call ``settle`` once for each.

    Whose sender has left is sent no more, for he will send again: ``abandon`` is called
    instead. After a rejection up to ``at_once_max`` of its parts are sent at the same
    time, in any order.
    """
    halving = Halving(members)

    async def send(members: Sequence[Member]) -> None:
        """Send some of the members once."""
        group = []
        for member in members:
            if member.waits:
                group.append(member)
            else:
                abandon(member)
        if not group:
            return
        batches = [member.batch for member in group]
        joined = join(batches)
        outcome = await deliver(joined)
        if is_suspect(outcome, joined.items) and halving.split(group):
            return
        answers = shares_of(outcome, batches)
        for member, answer in zip(group, answers, strict=True):
            settle(member, answer)

    while group := halving.take():
        groups = [group]
        while len(groups) < at_once_max and (group := halving.take()):
            groups.append(group)
        if len(groups) == 1:
            await send(groups[0])  # most batches: no task of its own
        else:
            await asyncio.gather(*map(send, groups))
