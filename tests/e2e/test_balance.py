"""Twenty thousand spans through both tiers: none lost, none twice, books even."""

from __future__ import annotations

from pathlib import Path

from tailring_testkit.balance import check_books, pass_through, running_fleet
from tailring_testkit.numbered import Load

_SPANS = 20_000


def test_every_span_arrives_once_and_the_counters_balance(tmp_path: Path) -> None:
    """Through 2 routers and 3 samplers exactly the spans sent arrive, each once."""
    load = Load(_SPANS, seed=20)
    with running_fleet(tmp_path, routers=2, samplers=3, num_traces=_SPANS) as fleet:
        passage = pass_through(fleet, load, timeout_s=60)
        assert passage.tally.exact(), passage.tally
        check_books(fleet, load, passage)
