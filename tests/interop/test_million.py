"""A million spans through both tiers: none lost, none twice, books even.

The long form of ``tests/e2e/test_balance.py``: 125,000 traces, each of which comes
half through one router and half through the other. About a minute.
"""

from __future__ import annotations

from pathlib import Path

from tailring_testkit.balance import check_books, pass_through, running_fleet
from tailring_testkit.numbered import Load

_SPANS = 1_000_000
_NUM_TRACES = 200_000  # more than the load has: nothing may be evicted


def test_a_million_spans_arrive_once_each(tmp_path: Path) -> None:
    """Through 2 routers and 3 samplers exactly the spans sent arrive, each once."""
    load = Load(_SPANS, seed=1)
    with running_fleet(
        tmp_path, routers=2, samplers=3, num_traces=_NUM_TRACES
    ) as fleet:
        passage = pass_through(fleet, load, timeout_s=180)
        assert passage.tally.exact(), passage.tally
        check_books(fleet, load, passage)
