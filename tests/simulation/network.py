"""The network: calls that take time, get lost, or are answered by nobody.

One `Call` is one request of a client that a server may take. Its fate is drawn when
it begins; the caller hears of it through a future. As on a real network a request
goes on when its caller stops waiting, and then nobody can know what came of it: the
ledger is told of the doubt, for a copy may come twice then and only then.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from tests.simulation.scenario import Faults

from tailring_pipeline import Refused, Rejected
from tailring_runtime.tasks import TaskSet

__all__ = ["Call", "Fate", "Network", "draw_fate", "end"]


class Fate(Enum):
    """What the network does to a call; the values are fields of `Faults`."""

    ARRIVES = "arrives"
    UNREACHABLE = "unreachable"
    UNAVAILABLE = "unavailable"
    THROTTLED = "throttled"
    FORBIDDEN = "forbidden"
    REQUEST_LOST = "request_lost"
    ANSWER_LOST = "answer_lost"
    PARTIAL = "partial"


_REFUSING = (Fate.UNREACHABLE, Fate.UNAVAILABLE, Fate.THROTTLED, Fate.FORBIDDEN)
_FAULTS = (*_REFUSING, Fate.REQUEST_LOST, Fate.ANSWER_LOST, Fate.PARTIAL)

Reply = int | Refused | Rejected
"""What a caller hears: the number of spans not taken, or why none was."""

Doubt = Callable[[bool], None]
"""Told whether the caller notices that he cannot know what the server did."""

Server = Callable[[Fate], Awaitable[int]]
"""Takes the request (a part of it for `Fate.PARTIAL`) or raises its answer; how many
spans it did not take."""


def draw_fate(faults: Faults, rng: random.Random) -> Fate:
    """One fate, by the probabilities of ``faults``."""
    drawn = rng.random()
    for fate in _FAULTS:
        drawn -= getattr(faults, fate.value)
        if drawn < 0:
            return fate
    return Fate.ARRIVES


@dataclass(slots=True, eq=False)
class Call:
    """One request on its way."""

    answer: asyncio.Future[Reply]
    fate: Fate
    doubt: Doubt
    harmless: bool = False
    """The server took nothing of it and never will."""

    def give_up(self, *, noticed: bool = True) -> None:
        """The caller will not hear what the server did; told to the ledger once.
        Not ``noticed``: he hears something that is not true."""
        if not self.harmless:
            self.doubt(noticed)
        self.harmless = True


class Network:
    """Carries calls. Every fault is off once `heal` was called."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._healed = False
        self.tasks = TaskSet("network")

    def heal(self) -> None:
        """From now on everything arrives."""
        self._healed = True

    async def call(
        self,
        server: Server,
        *,
        faults: Faults,
        timeout_s: float,
        doubt: Doubt,
        calls: dict[Call, None],
    ) -> int:
        """Send a request; the spans not taken, or raises `Refused` or `Rejected`.

        The call is in ``calls`` while somebody waits for it. Cancelled, it goes on.
        """
        fate = Fate.ARRIVES if self._healed else draw_fate(faults, self._rng)
        delays_s = self._delays_s(faults)
        loop = asyncio.get_running_loop()
        call = Call(loop.create_future(), fate, doubt)
        call.harmless = fate in _REFUSING or fate is Fate.REQUEST_LOST
        timer = loop.call_later(timeout_s, _time_out, call)
        calls[call] = None
        self.tasks.spawn(self._carry(call, server, delays_s), name="call")
        try:
            reply = await call.answer
        except asyncio.CancelledError:
            call.give_up()
            raise
        finally:
            timer.cancel()
            del calls[call]
        if isinstance(reply, int):
            return reply
        raise reply

    async def _carry(
        self, call: Call, server: Server, delays_s: tuple[float, float]
    ) -> None:
        await asyncio.sleep(delays_s[0])
        if call.fate is Fate.REQUEST_LOST:
            return
        answer: Reply
        if call.fate in _REFUSING:
            answer = _refusal(call.fate, self._rng)
        else:
            answer = await _served(server, call.fate)
            call.harmless = call.harmless or not isinstance(answer, int)
        await asyncio.sleep(delays_s[1])
        if call.answer.done():
            return
        if call.fate is Fate.ANSWER_LOST and isinstance(answer, int):
            if self._rng.random() < 0.5:
                return  # until the timeout
            reason = self._rng.choice(["unreachable", "unavailable"])
            call.give_up(noticed=reason == "unreachable")
            answer = Refused(reason, "the answer was lost")
        call.answer.set_result(answer)

    def _delays_s(self, faults: Faults) -> tuple[float, float]:
        if self._healed:
            return (0.001, 0.001)
        longest_s = faults.delay_max_s
        return (self._rng.random() * longest_s, self._rng.random() * longest_s)


async def _served(server: Server, fate: Fate) -> Reply:
    try:
        return await server(fate)
    except (Refused, Rejected) as answer:
        return answer


def _refusal(fate: Fate, rng: random.Random) -> Refused | Rejected:
    match fate:
        case Fate.UNREACHABLE:
            return Refused("unreachable", "connection refused")
        case Fate.UNAVAILABLE:
            return Refused("unavailable", "try later")
        case Fate.THROTTLED:
            return Refused("throttled", "slow down", retry_after_s=rng.random() * 2)
        case _:
            return Rejected("permission_denied", "not you")


def _time_out(call: Call) -> None:
    end(call, Refused("deadline", "no answer in time"))


def end(call: Call, answer: Refused) -> None:
    """Answer for a server that has not; what it does with the request is unknown."""
    if not call.answer.done():
        call.give_up()
        call.answer.set_result(answer)
