"""What orderly changes may cost: nothing.

In an orderly run the network is good, everybody is patient, and rings and machines
change with the time that they need. Then, whatever the knobs:

* every request is acknowledged in the end, and every span of it was taken;
* nothing is lost by any door, early acknowledgements included;
* a span is taken once for each time that it was sent, and exported once for each time
  that it was taken, if its trace is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.simulation.ledger import Answer, Ledger
from tests.simulation.routers import RouterLife
from tests.simulation.samplers import SamplerLife
from tests.simulation.spans import Plan

__all__ = ["check_acknowledged", "check_orderly"]


def check_orderly(
    plan: Plan,
    *,
    ledger: Ledger,
    routers: Sequence[RouterLife],
    samplers: Sequence[SamplerLife],
) -> None:
    """Assert all of the module's rules."""
    for router in routers:
        assert not router.lost(), f"{router.name} lost {router.lost()} spans"
    for sampler in samplers:
        lost = sampler.processor.release.spans_lost + sampler.lost_at_shutdown()
        assert not lost, f"{sampler.name} lost {lost} spans"
    for number, copy in ledger.copies.items():
        sent = len(copy.attempts)
        assert len(copy.taken) <= sent, f"copy {number:x} was taken too often"
        came = max(map(len, copy.exported.values()), default=0)
        assert came <= len(copy.taken), f"copy {number:x} came twice"
    check_acknowledged(plan, ledger, (span.number for span in plan.spans))


def check_acknowledged(plan: Plan, ledger: Ledger, numbers: Iterable[int]) -> None:
    """Assert that each of these spans was acknowledged by some router at last."""
    acknowledged = {
        plan.of_copy(copy).number
        for attempt in ledger.attempts
        if attempt.answer is Answer.ACKNOWLEDGED
        for copy in attempt.copies
    }
    missing = sorted(set(numbers) - acknowledged)
    assert not missing, f"spans {missing} were never acknowledged"
