"""Simulated clients: they send as OTLP exporters do.

A client sends its requests one after another, each to any router. It waits for the
answer for so long; then it cancels the call, and the receiver cancels the work on it.
What is refused, or answered by nobody, it sends again after a while; what is taken or
rejected it forgets; after so many attempts it gives up.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from zlib import crc32

from tests.simulation.ledger import Answer, Attempt, Ledger
from tests.simulation.machines import RouterMachine
from tests.simulation.scenario import Traffic
from tests.simulation.spans import Plan

from tailring_pipeline import Batch, Outcome, Refused, Rejected

__all__ = ["Client"]


class Client:
    """One sender; ``answered`` is called after every attempt."""

    def __init__(
        self,
        traffic: Traffic,
        *,
        plan: Plan,
        routers: Sequence[RouterMachine],
        ledger: Ledger,
        rng: random.Random,
        note: Callable[[str], None],
        answered: Callable[[Attempt], None],
    ) -> None:
        self._traffic = traffic
        self._plan = plan
        self._routers = routers
        self._ledger = ledger
        self._rng = rng
        self._note = note
        self._answered = answered
        self.healed = False

    async def send_all(self, requests: Sequence[Sequence[int]]) -> None:
        """Send these in order, each when its time has come."""
        pause_s = self._traffic.spread_s / max(1, len(requests))
        for numbers in requests:
            await asyncio.sleep(self._rng.random() * 2 * pause_s)
            await self._send(numbers)

    async def _send(self, numbers: Sequence[int]) -> None:
        wait_s = 0.05
        for attempt in range(self._traffic.attempts_max):
            retry_after_s = await self._attempt(numbers, attempt)
            if retry_after_s is None:
                return
            await asyncio.sleep(max(retry_after_s, wait_s * (1 + self._rng.random())))
            wait_s = min(5.0, wait_s * 1.5)

    async def _attempt(self, numbers: Sequence[int], number: int) -> float | None:
        """Send once; None when that was the last time, else the delay asked for."""
        machine = self._rng.choice(self._routers)
        if not machine.up:
            return 0.0
        life = machine.life
        copies = self._plan.copies(numbers, number)
        batch = Batch(self._plan.payload(copies), len(copies))
        now_s = asyncio.get_running_loop().time()
        attempt = self._ledger.begin(life.name, copies, at_s=now_s)
        words = f"{life.name} is sent {[f'{one:x}' for one in copies]}"
        self._note(f"{words} {crc32(batch.payload):08x}")
        if life.draining:
            attempt.answer = Answer.REFUSED
            return 0.0
        task = life.handlers.spawn(life.answer(batch), name="request")
        await asyncio.wait({task}, timeout=self._patience_s())
        if not task.done():
            task.cancel()
            # A handler that does not end when it is cancelled is caught here.
            async with asyncio.timeout(1.0):
                await asyncio.wait({task})
        retry_after_s = _read(task, batch, attempt)
        self._answered(attempt)
        lost = not self.healed and self._rng.random() < self._traffic.answer_lost
        return 0.0 if lost else retry_after_s

    def _patience_s(self) -> float:
        if not self.healed and self._rng.random() < self._traffic.impatient:
            return self._rng.random() * 0.2
        return self._traffic.patience_s


def _read(task: asyncio.Task[Outcome], batch: Batch, attempt: Attempt) -> float | None:
    if task.cancelled():
        attempt.answer = Answer.CANCELLED
        return 0.0
    match task.result():
        case None:
            attempt.answer = Answer.ACKNOWLEDGED
            return None
        case Refused() as refused:
            attempt.answer = Answer.REFUSED
            return refused.retry_after_s
        case Rejected() as rejected:
            attempt.answer = Answer.REJECTED
            attempt.rejected = rejected.items_of(batch)
            return None
