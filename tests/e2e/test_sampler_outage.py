"""The backend of a sampler away in every way, then the sampler killed, in short.

``make outage-sampler`` is the long form; ``OUTAGE_S=600`` makes this one long as well.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.faults.outage_sampler import run_sampler_outage


def test_kept_traces_survive_an_outage_and_a_kill(tmp_path: Path) -> None:
    """Every kept trace arrives once the backend is back, whatever the outage was."""
    seconds = float(os.environ.get("OUTAGE_S", "6"))
    one = run_sampler_outage(tmp_path, seconds=seconds, spans_per_s=2_000)
    assert not one.problems(), one.problems()
