"""What must be true of a whole run, when everything has come to rest.

* Nothing is held anywhere, and the last, patient drain lost nothing.
* Every acknowledged span was taken by a sampler, or left its router by a named door. It
  was so when it was acknowledged, if the router does not acknowledge early.
* Every span that a sampler took was exported, dropped by a decision, or left by a named
  door; and all spans of a trace at one sampler went the same way.
* A router counts every span whose fate it could not know: no more come twice.
* In a calm run, besides: what routers count as delivered is what samplers took, and
  nothing was taken or exported twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tests.simulation.ledger import Answer, Attempt, Ledger
from tests.simulation.routers import RouterLife
from tests.simulation.samplers import SamplerLife
from tests.simulation.scenario import Scenario
from tests.simulation.spans import Plan

from tailring_router.metrics import Door as RouterDoor
from tailring_sampler.doors import Door

__all__ = ["check_answer", "judge"]

_SECOND_NS = 1_000_000_000


def judge(
    scenario: Scenario,
    plan: Plan,
    *,
    ledger: Ledger,
    routers: Sequence[RouterLife],
    samplers: Sequence[SamplerLife],
) -> None:
    """Assert all of the module's rules."""
    for router in routers:
        _check_acknowledged(router, ledger)
        _check_doubted(router, ledger)
    for sampler in samplers:
        sampler.check()
        sampler.check_empty()
        _check_released(sampler, ledger, backends=scenario.sampler.backends)
        _check_decisions(sampler, scenario, plan=plan, ledger=ledger)
    if scenario.calm:
        _check_calm(ledger, routers)


def check_answer(
    attempt: Attempt, router: RouterLife, *, scenario: Scenario, ledger: Ledger
) -> None:
    """Assert that an answer is true at the moment when it is given, and is given."""
    patient = scenario.calm or scenario.orderly
    assert not patient or attempt.answer is not Answer.CANCELLED, (
        f"{router.name} did not answer a patient client: {attempt}"
    )
    # Who took a part of several joined requests did not say of which: the senders may
    # be told a wrong number, and only sums are right.
    inexact = scenario.to_sampler.partial or scenario.router.batch
    if inexact or router.acknowledges_early:
        return
    missing = _missing(attempt, ledger)
    assert len(missing) <= attempt.rejected, (
        f"{router.name} acknowledged what no sampler had taken:"
        f" {[hex(one) for one in missing]} of {attempt}"
    )


def _check_acknowledged(router: RouterLife, ledger: Ledger) -> None:
    missing = sum(
        len(_missing(attempt, ledger))
        for attempt in ledger.attempts
        if attempt.router == router.name
    )
    assert missing <= router.lost(), (
        f"{missing} acknowledged spans of {router.name} are missing,"
        f" {router.lost()} left by a named door"
    )


def _check_doubted(router: RouterLife, ledger: Ledger) -> None:
    doubted = ledger.doubted_by.get(router.name, 0)
    counted = router.router_metrics.doubted.value
    assert doubted <= counted, f"{router.name} doubts {counted} spans, not {doubted}"


def _missing(attempt: Attempt, ledger: Ledger) -> list[int]:
    """What was acknowledged and has never been taken, or was not yet."""
    if attempt.answer not in (Answer.ACKNOWLEDGED, Answer.REJECTED):
        return []
    return [one for one in attempt.copies if not ledger.copies[one].taken]


def _check_released(sampler: SamplerLife, ledger: Ledger, *, backends: int) -> None:
    release = sampler.processor.release
    for backend in range(backends):
        exported = ledger.exported_by.get((sampler.name, backend), 0)
        assert release.spans_delivered <= exported, "delivered, and never seen"


def _check_decisions(
    sampler: SamplerLife, scenario: Scenario, *, plan: Plan, ledger: Ledger
) -> None:
    """By trace: kept ones are exported whole, the others not at all."""
    groups: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for number, copy in ledger.copies.items():
        for taking in copy.taken:
            if taking.sampler == sampler.name:
                groups[plan.of_copy(number).trace].append((taking.at_ns, number))
    missing = dict.fromkeys(range(scenario.sampler.backends), 0)
    for trace, takings in groups.items():
        kept = _expected(trace, sorted(takings), scenario=scenario, plan=plan)
        copies = [ledger.copies[number] for _, number in takings]
        for backend in missing:
            exported = [sampler.name in one.exports(backend) for one in copies]
            assert kept is not False or not any(exported), (
                "a dropped trace was exported"
            )
            if kept or any(exported):
                missing[backend] += exported.count(False)
    left = sampler.left(Door.EVICTED, Door.DISCARDED, Door.ABANDONED)
    lost = sampler.processor.release.spans_lost + left
    if scenario.sampler.num_traces >= len(plan.trace_ids):
        assert max(missing.values()) <= lost, (
            f"{max(missing.values())} spans of kept traces are missing,"
            f" {lost} left by a named door"
        )


def _expected(
    trace: int, takings: list[tuple[int, int]], *, scenario: Scenario, plan: Plan
) -> bool | None:
    """Whether a trace must be kept, must not, or could be either.

    Either: its only error came when it was perhaps decided already.
    """
    if plan.kept_by_id[trace]:
        return True
    wait_ns = int(scenario.sampler.decision_wait_s * _SECOND_NS)
    begun_ns = takings[0][0]
    errors = [at_ns for at_ns, number in takings if plan.of_copy(number).error]
    if not errors:
        return False
    if scenario.sampler.from_last:
        for at_ns, _ in takings:
            if at_ns - begun_ns >= wait_ns or at_ns >= errors[0]:
                break
            begun_ns = at_ns
    return True if errors[0] - begun_ns < wait_ns else None


def _check_calm(ledger: Ledger, routers: Sequence[RouterLife]) -> None:
    delivered = sum(
        router.router_metrics.left_by(RouterDoor.DELIVERED) for router in routers
    )
    assert delivered == sum(ledger.taken_by.values()), "the routers count wrong"
    for copy in ledger.copies.values():
        sent = len(copy.attempts)
        assert len(copy.taken) <= sent, "taken more often than it was sent"
        exported = max(map(len, copy.exported.values()), default=0)
        assert exported <= len(copy.taken), "exported twice"
