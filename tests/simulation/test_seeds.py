"""Fleets of many seeds: ``make test`` runs some, ``make sim`` as many as asked for."""

from __future__ import annotations

import os

import pytest
from tests.simulation.world import SimulationFailed, run_seed

_SEEDS = int(os.environ.get("SIMULATION_SEEDS", "25"))


@pytest.mark.parametrize("seed", range(_SEEDS))
def test_a_fleet_keeps_every_rule(seed: int) -> None:
    """Whatever a seed does to a fleet, each span's fate is known and as promised."""
    story = ""
    try:
        run_seed(seed)
    except SimulationFailed as failure:
        story = str(failure)
    if story:  # which says more than the frames of a simulated event loop
        pytest.fail(story, pytrace=False)
