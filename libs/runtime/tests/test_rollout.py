"""A new configuration for all workers, over a crew of workers that are played."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from tailring_runtime import rollout
from tailring_runtime.config import CollectorConfig
from tailring_runtime.config.collector import ServiceConfig
from tailring_runtime.crew import Child
from tailring_runtime.feed import Reloaded
from tailring_runtime.plan import Plan
from tailring_testkit.virtual_time import virtual_time

_OLD, _NEW = (
    Plan(CollectorConfig(service=ServiceConfig(pipelines={})), (), (), payload)
    for payload in (b"old", b"new")
)
_BAD = Reloaded(("no",))

# What a worker does with a configuration that it is asked to take.
Answer = Callable[["_Worker", bytes], Reloaded]


def _takes(_worker: _Worker, _payload: bytes) -> Reloaded:
    return Reloaded()


def _refuses(_worker: _Worker, _payload: bytes) -> Reloaded:
    return _BAD


def _dies(worker: _Worker, _payload: bytes) -> Reloaded:
    worker.dead = True
    raise EOFError


def _stays_silent(_worker: _Worker, _payload: bytes) -> Reloaded:
    raise TimeoutError


def _cannot_go_back(_worker: _Worker, payload: bytes) -> Reloaded:
    return _BAD if payload == _OLD.payload else Reloaded()


class _Worker:
    """One worker; it runs from the beginning."""

    def __init__(self, answer: Answer = _takes, *, payload: bytes = b"old") -> None:
        self._answer = answer
        self.payload = payload
        self.dead = False
        self.asked: list[bytes] = []

    async def wait_running(self) -> None:
        """It runs, or never will."""
        if self.dead:
            raise EOFError

    async def ask(self, what: str, payload: bytes, *, timeout_s: float) -> Any:
        """What its nature is."""
        assert what == "reload"
        assert timeout_s > 0
        self.asked.append(payload)
        await asyncio.sleep(1)
        return self._answer(self, payload)


class _Crew:
    """Workers in their places; one that has died is started again after 10 s."""

    def __init__(self, *workers: _Worker) -> None:
        self.plan = _OLD
        self._workers = list(workers)
        self.replaced: list[_Worker] = []

    @property
    def children(self) -> Sequence[Child]:
        """Those that live and stay."""
        living = [it for it in self._workers if not it.dead and it not in self.replaced]
        return cast("list[Child]", living)

    async def wait_change(self) -> None:
        """The dead are started again."""
        await asyncio.sleep(10)
        for place, worker in enumerate(self._workers):
            if worker.dead:
                self._workers[place] = _Worker(payload=self.plan.payload)

    def replace(self, child: Child) -> None:
        """Note it."""
        self.replaced.append(cast("_Worker", child))

    @property
    def payloads(self) -> list[bytes]:
        """What each of those that stay runs."""
        return [child.payload for child in self.children]


@virtual_time
async def test_all_take_a_good_one() -> None:
    """Each worker is asked once, and who starts later gets the new one."""
    one, other = _Worker(), _Worker()
    crew = _Crew(one, other)
    assert await rollout.roll_out(crew, _NEW) == Reloaded()
    assert one.asked == other.asked == [b"new"]
    assert crew.plan is _NEW


@virtual_time
async def test_the_same_one_asks_nobody() -> None:
    """What all workers run already is not a change."""
    worker = _Worker()
    again = Plan(_OLD.shell, (), (), _OLD.payload)
    outcome = await rollout.roll_out(_Crew(worker), again)
    assert outcome == Reloaded(changed=False)
    assert worker.asked == []


@virtual_time
async def test_the_first_refusal_ends_it() -> None:
    """One that nobody has taken is offered to no second worker."""
    one, other = _Worker(_refuses), _Worker()
    crew = _Crew(one, other)
    assert await rollout.roll_out(crew, _NEW) == _BAD
    assert other.asked == []
    assert (crew.plan, crew.replaced) == (_OLD, [])


@virtual_time
async def test_a_later_refusal_takes_it_back() -> None:
    """Those that have taken it go back, and the refusal is the outcome."""
    one, other = _Worker(), _Worker(_refuses)
    crew = _Crew(one, other)
    assert await rollout.roll_out(crew, _NEW) == _BAD
    assert one.asked == [b"new", b"old"]
    assert other.asked == [b"new"]
    assert crew.payloads == [b"old", b"old"]
    assert (crew.plan, crew.replaced) == (_OLD, [])


@virtual_time
async def test_one_that_cannot_go_back_is_replaced() -> None:
    """It is asked to go back once; another one starts with the old configuration."""
    one, other = _Worker(_cannot_go_back), _Worker(_refuses)
    crew = _Crew(one, other)
    assert await rollout.roll_out(crew, _NEW) == _BAD
    assert one.asked == [b"new", b"old"]
    assert crew.replaced == [one]
    assert crew.plan is _OLD


@virtual_time
async def test_one_that_did_not_answer_is_asked_to_go_back() -> None:
    """It may have taken the new one after all; silent again, it is replaced."""
    worker = _Worker(_stays_silent)
    crew = _Crew(worker)
    outcome = await rollout.roll_out(crew, _NEW)
    assert outcome.problems == ("a worker did not answer in time",)
    assert worker.asked == [b"new", b"old"]
    assert crew.replaced == [worker]


@virtual_time
async def test_a_death_of_the_first_speaks_against_it() -> None:
    """A configuration that a worker died of is offered to no other one."""
    one, other = _Worker(_dies), _Worker()
    crew = _Crew(one, other)
    outcome = await rollout.roll_out(crew, _NEW)
    assert outcome.problems == ("a worker died while it was asked to take it",)
    assert other.asked == []
    assert crew.plan is _OLD


@virtual_time
async def test_a_death_of_a_later_one_is_none_of_its_doing() -> None:
    """The first has proved it; who comes in the place of the dead has it from the
    start."""
    crew = _Crew(_Worker(), _Worker(_dies))
    assert await rollout.roll_out(crew, _NEW) == Reloaded()
    await crew.wait_change()
    assert crew.payloads == [b"new", b"new"]


@pytest.mark.parametrize("count", [1, 2])
@virtual_time
async def test_the_dead_are_waited_for(count: int) -> None:
    """While no worker lives the next one to start is waited for, and asked."""
    workers = [_Worker() for _ in range(count)]
    for worker in workers:
        worker.dead = True
    crew = _Crew(*workers)
    assert await rollout.roll_out(crew, _NEW) == Reloaded()
    assert crew.payloads == [b"new"] * count
