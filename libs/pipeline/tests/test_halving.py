"""Who is to blame for a rejected request, and what finding that out costs."""

from __future__ import annotations

import asyncio
import math
import random

import pytest

from tailring_pipeline import (
    SPLIT_REASONS,
    Batch,
    Halving,
    Outcome,
    Refused,
    Rejected,
    is_suspect,
)
from tailring_pipeline.joined import Flight, Member, deliver_joined


def _requests(count: int, bad: set[int]) -> tuple[list[list[int]], list[int]]:
    """What is sent of so many members, and who stood alone and was refused."""
    halving = Halving(range(count))
    sent, blamed = [], []
    while group := halving.take():
        sent.append(group)
        if bad & set(group) and not halving.split(group):
            blamed += group
    return sent, blamed


@pytest.mark.parametrize("seed", range(30))
def test_exactly_the_bad_members_are_found(seed: int) -> None:
    """Whoever is bad ends alone and everybody else is taken once, in their order."""
    chance = random.Random(seed)
    count = chance.randrange(1, 300)
    bad = {one for one in range(count) if chance.random() < chance.choice([0.01, 0.5])}
    sent, blamed = _requests(count, bad)
    taken = [one for group in sent if not bad & set(group) for one in group]
    assert blamed == sorted(bad)
    assert taken == [one for one in range(count) if one not in bad]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 100, 1000])
def test_the_cost_is_bounded(count: int) -> None:
    """All bad: 2n - 1 requests, and no member in more than 1 + ceil(log2 n)."""
    sent, blamed = _requests(count, set(range(count)))
    assert len(blamed) == count
    assert len(sent) == 2 * count - 1
    times = [0] * count
    for group in sent:
        for one in group:
            times[one] += 1
    assert max(times) == 1 + math.ceil(math.log2(count))


@pytest.mark.parametrize("bad", [0, 499, 999])
def test_one_bad_member_of_a_thousand_costs_some_twenty_requests(bad: int) -> None:
    """Two requests for each halving find it."""
    sent, _ = _requests(1000, {bad})
    assert len(sent) <= 1 + 2 * 10


def test_nobody_has_no_request() -> None:
    """Without members nothing is sent."""
    assert Halving[int]([]).take() == []


def test_who_left_meanwhile_is_not_sent_again() -> None:
    """What the sender leaves out of a group is in neither half."""
    halving = Halving("abcdef")
    halving.take()
    assert halving.split(["a", "c", "f"])
    assert [halving.take(), halving.take(), halving.take()] == [["a"], ["c", "f"], []]


@pytest.mark.parametrize(
    ("outcome", "suspect"),
    [
        (None, False),
        (Refused("unavailable", "later"), False),
        (Rejected("permission_denied", "no"), False),
        (Rejected("partial_success", "each of them", items=5), False),
        (Rejected("invalid_argument", "some", items=4), False),
        (Rejected("invalid_argument", "all", items=5), True),
        *((Rejected(reason, "all"), True) for reason in sorted(SPLIT_REASONS)),
    ],
)
def test_what_halves_can_tell(outcome: Outcome, suspect: bool) -> None:
    """Halves are sent when nothing was taken for what one member may have caused."""
    assert is_suspect(outcome, 5) is suspect


def _flight(*payloads: bytes) -> Flight:
    members = [Member(Batch(payload, 1)) for payload in payloads]
    return Flight(members, asyncio.get_running_loop().create_future())


async def test_each_member_is_settled_once_with_its_own_answer() -> None:
    """Bad members of a batch are rejected, one by one, and the others are taken."""
    taken: list[bytes] = []

    async def deliver(batch: Batch) -> Outcome:
        """Reject whatever holds a bad one."""
        await asyncio.sleep(0)
        if b"!" in batch.payload:
            return Rejected("internal", "no")
        taken.append(batch.payload)
        return None

    for at_once_max in (1, 16):
        taken.clear()
        flight = _flight(*(b"!" if n in (3, 8) else b"." for n in range(20)))
        await deliver_joined(
            flight.members,
            deliver,
            settle=Member.settle,
            abandon=_nobody,
            at_once_max=at_once_max,
        )
        answers = [member.answer.result() for member in flight.members]
        rejected = [n for n, answer in enumerate(answers) if answer is not None]
        assert rejected == [3, 8]
        assert answers[3] is not answers[8]
        assert b"".join(taken) == b"." * 18


def _nobody(_member: Member) -> None:
    raise AssertionError("nobody left")


async def test_nothing_is_sent_for_who_has_left() -> None:
    """Neither at first nor when halves are sent: he will send again himself."""
    flight = _flight(b"a", b"b", b"!", b"c")
    early, late, *_ = flight.members
    flight.leave(early)
    sent: list[bytes] = []
    abandoned: list[Member] = []

    async def deliver(batch: Batch) -> Outcome:
        """Reject what holds the bad one; meanwhile another sender leaves."""
        sent.append(batch.payload)
        await asyncio.sleep(0)
        flight.leave(late)
        return Rejected("internal", "no") if b"!" in batch.payload else None

    await deliver_joined(
        flight.members, deliver, settle=Member.settle, abandon=abandoned.append
    )
    assert sent == [b"b!c", b"!c", b"!", b"c"]
    assert abandoned == [early, late]


async def test_who_leaves_as_he_is_answered_does_not_hold_the_others() -> None:
    """His answer cannot be given any more, but he is waited for no longer."""
    flight = _flight(b"a", b"b")
    first, second = flight.members
    first.answer.cancel()
    assert not first.settle(None)
    assert flight.leave(second)


async def test_the_last_who_waits_ends_the_sending() -> None:
    """Those who were answered wait no more; when the last of the others leaves, and
    no earlier, nobody is sent for."""
    flight = _flight(b"a", b"b", b"c")
    first, second, third = flight.members
    assert first.settle(None)
    assert not flight.leave(first)
    assert not flight.leave(second)
    assert not flight.leave(second)
    assert not flight.sending.cancelled()
    assert flight.leave(third)
    assert flight.sending.cancelled()


async def test_who_left_is_not_waited_for_when_it_is_answered() -> None:
    """A sender that left before its answer came counts once."""
    flight = _flight(b"a", b"b")
    first, second = flight.members
    assert not flight.leave(first)
    assert first.settle(None)
    assert not first.settle(None)
    assert flight.leave(second)
