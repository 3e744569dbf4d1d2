"""The same seed is the same run, and a failure says how to see it again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.simulation.__main__ import main
from tests.simulation.broken import unbroken
from tests.simulation.world import SimulationFailed, run, run_seed

from tailring_router.line import Line
from tailring_router.part import DELIVERED, Part, Result

_ROOT = Path(__file__).parents[2]
# Every kind of event happens in it, restarts and changes of the ring included.
_EVENTFUL = 3


def test_a_seed_repeats_its_history() -> None:
    """Two runs of one seed in one process write the same history to the byte."""
    first, again = run_seed(_EVENTFUL), run_seed(_EVENTFUL)
    assert first.history.count > 100
    assert first.history.digest == again.history.digest


def test_a_seed_repeats_its_history_in_another_process() -> None:
    """No hash and no address in memory has a say in the history of a seed."""
    told = subprocess.run(
        [sys.executable, "-m", "tests.simulation", str(_EVENTFUL)],
        cwd=_ROOT,
        env={**os.environ, "PYTHONHASHSEED": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    last = told.stdout.splitlines()[-1]
    assert run_seed(_EVENTFUL).history.digest in last
    assert run_seed(_EVENTFUL + 1).history.digest not in last


def test_a_failure_says_how_to_repeat_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seed, the command, the scenario and the end of the history are told."""
    monkeypatch.setattr(Line, "call", _swallow)
    with pytest.raises(SimulationFailed) as failure:
        run(unbroken())
    story = str(failure.value)
    assert "seed 0 broke a rule" in story
    assert ".venv/bin/python -m tests.simulation 0" in story
    assert "Scenario(seed=0" in story
    assert re.search(r"\n +0\.\d{4} router\d#0 acknowledged \[", story)


def test_the_command_tells_the_seeds_that_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Several seeds end with a line for each that failed and with their number."""
    monkeypatch.setattr(Line, "call", _swallow)
    assert main(["1", "2"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines[:2]] == ["1", "2"]
    assert lines[-1] == "2 seeds, 2 failed"


async def _swallow(_self: Line, _parts: list[Part]) -> Result:
    return DELIVERED
