"""The performance page says what was measured, and no more."""

from __future__ import annotations

from dataclasses import replace

from bench.measure import Case
from bench.report import Machine, Readings, page

_MACHINE = Machine(
    cores=2,
    memory_gib=8,
    processor="a processor",
    python="3.11",
    wire_code="compiled",
    peer="the peer",
    load_before=0.1,
)
_ROUTER = Case("router", 1000, 100)
_BATCHED = Case("router", 100, 100, batch=True)
_SMALL = Case("router", 100, 100)


def _page(readings: Readings, *, quick: bool = False) -> list[str]:
    return page(readings, _MACHINE, runs=3, quick=quick).splitlines()


def test_a_figure_is_the_median_with_its_spread() -> None:
    """The middle run stands first, the lowest and the highest behind it."""
    readings = {(_ROUTER, "ours"): [1.0, 3.0, 2.0], (_ROUTER, "peer"): [8.0]}
    row = "| 1,000 spans a request, no compression | 2 (1 to 3) | 8 | 0.25 |"
    assert row in _page(readings)


def test_a_budget_is_met_or_not() -> None:
    """The ratio of the medians is held against the budget."""
    met = {(_ROUTER, "ours"): [0.3], (_ROUTER, "peer"): [1.0]}
    missed = {(_ROUTER, "ours"): [0.4], (_ROUTER, "peer"): [1.0]}
    assert "| router, 1,000 | 0.30 | ≤ 0.33 | met |" in _page(met)
    assert "| router, 1,000 | 0.40 | ≤ 0.33 | **not yet met** |" in _page(missed)


def test_what_was_not_measured_says_so() -> None:
    """A side that is missing has neither a figure nor a ratio nor a verdict."""
    lines = _page({(_ROUTER, "ours"): [0.3]})
    assert "| router, 1,000 | not measured | ≤ 0.33 | |" in lines
    assert "| 1,000 spans a request, no compression | 0.3 | not measured |  |" in lines


def test_small_requests_are_held_against_the_peer_with_batch() -> None:
    """Ours without `batch` is compared with the peer's figure with `batch`."""
    readings = {
        (_SMALL, "ours"): [1.0],
        (_SMALL, "peer"): [100.0],
        (_BATCHED, "peer"): [2.0],
    }
    assert "| router, 100, the peer with `batch` | 0.50 | ≤ 0.7 | met |" in _page(
        readings
    )


def test_a_busy_machine_is_told() -> None:
    """The page says so when other work had the machine before the first run."""
    busy = replace(_MACHINE, load_before=3.0)
    assert "load average 3.0" in page({}, busy, runs=1, quick=False)
    assert "load average" not in page({}, _MACHINE, runs=1, quick=False)


def test_a_quick_run_is_marked() -> None:
    """The page of a quick run says that it does not count."""
    assert any("A quick run" in line for line in _page({}, quick=True))
    assert not any("A quick run" in line for line in _page({}))
