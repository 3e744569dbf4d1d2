"""Faults of a backend, of the router and of all backends, under load, in short.

``make faults``, ``make kills`` and ``make outage`` are the long forms.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.faults.faults import FAULTS
from tests.faults.kills import run_kills
from tests.faults.outage import run_outage
from tests.faults.trial import Shape, run_trial

_SHAPE = Shape(
    spans_per_s=2_000,
    seconds=3.0,
    strikes_s=0.7,
    lasts_s=1.5,
    traces_per_request=25,
    exporter={
        "protocol": {
            "otlp": {
                "timeout": "500ms",
                "retry_on_failure": {
                    "initial_interval": "100ms",
                    "max_interval": "200ms",
                },
            }
        }
    },
)


@pytest.mark.parametrize("name", [name for name in FAULTS if name != "none"])
def test_a_faulty_backend_costs_no_span(name: str, tmp_path: Path) -> None:
    """Every span that was acknowledged arrived, and no more came twice than the router
    could not know the fate of."""
    result = run_trial(FAULTS[name], _SHAPE, tmp_path)
    assert not result.problems(), result
    assert result.pressed.late_s


def test_what_was_refused_before_the_list_changed_comes_once(tmp_path: Path) -> None:
    """What arrived of a refused request is known when it comes again, although the
    dead backend has left the list and other parts are cut."""
    shape = replace(_SHAPE, exporter={**_SHAPE.exporter, "timeout": "300ms"})
    result = run_trial(FAULTS["unlisted"], shape, tmp_path)
    assert not result.problems(), result
    assert result.pressed.refusals


def test_a_killed_router_costs_no_span(tmp_path: Path) -> None:
    """Without a level-1 queue nothing is acknowledged that SIGKILL can take away."""
    killed = run_kills(2, tmp_path, spans_per_s=2_000)
    assert not killed.problems(), killed.problems()


def test_an_outage_of_all_backends_is_refused_and_not_hoarded(tmp_path: Path) -> None:
    """The memory limiter holds the router under its limit, and what it has
    acknowledged arrives when the backends do."""
    outage = run_outage(tmp_path, seconds=6.0, spans_per_s=60_000, limit_mib=160)
    assert not outage.problems(), outage.problems()
