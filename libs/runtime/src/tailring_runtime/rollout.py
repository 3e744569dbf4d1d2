"""A new configuration for all workers, one after the other.

The first worker that takes it proves that it can be put in force; only then the others
are asked, so that at most one is being changed at any time. When one cannot, those that
have taken it go back, and the old configuration goes on everywhere. A worker that is
started meanwhile gets the configuration that is in force at that moment, and is asked
as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
        """Those that live now."""


async def roll_out(crew: Crew, plan: Plan) -> Reloaded:
    """Put ``plan`` in force in every worker, or in none."""
    before = crew.plan
    try:
        check_free(sorted(set(plan.endpoints) - set(before.endpoints)))
    except StartError as error:
        return Reloaded((str(error),))
    changed = False
    while (child := _next(crew, lambda it: it.payload != plan.payload)) is not None:
        outcome = await _ask(child, plan)
        if outcome is None:
            continue  # it died; who comes in its place is asked
        if outcome.problems:
            await _go_back(crew, before)
            return outcome
        changed |= outcome.changed
        crew.plan = plan
    return Reloaded(changed=changed)


async def _go_back(crew: Crew, before: Plan) -> None:
    failed, crew.plan = crew.plan, before
    while (child := _next(crew, lambda it: it.payload == failed.payload)) is not None:
        if failed is before:
            return
        await _ask(child, before)


def _next(crew: Crew, wanted: Callable[[Child], bool]) -> Child | None:
    return next((child for child in crew.children if wanted(child)), None)


async def _ask(child: Child, plan: Plan) -> Reloaded | None:
    """What a worker made of a plan; None when it is no more."""
    try:
        await child.wait_running()
        outcome: Reloaded = await child.ask("reload", plan.payload, timeout_s=WORKER_S)
    except EOFError:
        return None
    except TimeoutError:
        return Reloaded(("a worker did not answer in time",))
    if not outcome.problems:
        child.payload = plan.payload
    return outcome
