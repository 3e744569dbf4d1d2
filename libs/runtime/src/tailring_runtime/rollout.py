"""A new configuration for all workers, one after the other.

The first worker that takes it proves that it can be put in force; only then the others
are asked, so that at most one is being changed at any time. When one cannot, those that
may have taken it go back, and the old configuration goes on everywhere; one that cannot
go back, or does not say, is replaced. A worker that dies of what nobody has proved yet
speaks against it. Whoever is started meanwhile gets the configuration that is in force
at that moment, and is asked as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tailring_runtime.claim import check_free
from tailring_runtime.crew import Child
from tailring_runtime.errors import StartError
from tailring_runtime.feed import Reloaded
from tailring_runtime.plan import Plan

__all__ = ["Crew", "roll_out"]

# A worker may take some seconds to end a queue on disk and to open it again.
WORKER_S = 60.0


class Crew(Protocol):
    """The workers, and the plan that new ones start with."""

    plan: Plan

    @property
    def children(self) -> Sequence[Child]:
        """Those that live and stay."""

    async def wait_change(self) -> None:
        """Return when other workers may live than now."""

    def replace(self, child: Child) -> None:
        """End that worker, so that another one starts with the plan."""


async def roll_out(crew: Crew, plan: Plan) -> Reloaded:
    """Put ``plan`` in force in every worker, or in none."""
    before = crew.plan
    try:
        check_free(sorted(set(plan.endpoints) - set(before.endpoints)))
    except StartError as error:
        return Reloaded((str(error),))
    if plan.payload == before.payload:
        return Reloaded(changed=False)
    changed = False
    while (child := await _next(crew, plan)) is not None:
        outcome = await _ask(child, plan)
        if outcome is None and crew.plan is plan:
            continue  # it died; who comes in its place has the new one
        if outcome is None:
            outcome = Reloaded(("a worker died while it was asked to take it",))
        if outcome.problems:
            await _go_back(crew, before)
            return outcome
        changed |= outcome.changed
        crew.plan = plan
    return Reloaded(changed=changed)


async def _next(crew: Crew, plan: Plan) -> Child | None:
    """Who is to be asked now; None when all have it."""
    while True:
        for child in crew.children:
            if child.payload != plan.payload and await _runs(child):
                return child
        if crew.plan is plan and all(
            child.payload == plan.payload for child in crew.children
        ):
            return None
        await crew.wait_change()


async def _go_back(crew: Crew, before: Plan) -> None:
    crew.plan = before
    for child in [it for it in crew.children if it.payload != before.payload]:
        outcome = await _ask(child, before)
        if outcome is not None and outcome.problems:
            crew.replace(child)


async def _runs(child: Child) -> bool:
    """Wait until a worker has started; False when it never will."""
    try:
        await child.wait_running()
    except EOFError:
        return False
    return True


async def _ask(child: Child, plan: Plan) -> Reloaded | None:
    """What a worker made of a plan; None when it is no more."""
    # Until it has answered nobody knows which one it runs.
    before, child.payload = child.payload, b""
    try:
        outcome: Reloaded = await child.ask("reload", plan.payload, timeout_s=WORKER_S)
    except EOFError:
        return None
    except TimeoutError:
        return Reloaded(("a worker did not answer in time",))
    child.payload = before if outcome.problems else plan.payload
    return outcome
