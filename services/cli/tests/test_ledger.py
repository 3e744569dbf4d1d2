"""The ledger tells whole, incomplete and dropped traces apart."""

from __future__ import annotations

import pytest

from tailring_cli.demo.ledger import Ledger

_SETTLE_NS = 100


@pytest.fixture
def ledger() -> Ledger:
    """A ledger with trace 1 of three spans and trace 2 of one."""
    ledger = Ledger(settle_after_ns=_SETTLE_NS)
    for span_id in (11, 12, 13):
        ledger.sent(1, span_id, now_ns=0)
    ledger.sent(2, 21, now_ns=0)
    return ledger


def test_a_trace_that_arrives_in_pieces_is_whole(ledger: Ledger) -> None:
    """All spans of a trace, in two deliveries, make it kept whole."""
    ledger.received(1, [12], now_ns=1)
    ledger.received(1, [11, 13], now_ns=2)
    totals = ledger.totals()
    assert (totals.kept_whole, totals.kept_incomplete, totals.dropped) == (1, 0, 1)
    assert totals.holds


def test_a_missing_span_makes_a_kept_trace_incomplete(ledger: Ledger) -> None:
    """Two of three spans make the trace incomplete, and the proof fails."""
    ledger.received(1, [11, 12], now_ns=1)
    totals = ledger.totals()
    assert totals.kept_incomplete == 1
    assert not totals.holds


def test_a_span_that_comes_twice_is_no_substitute(ledger: Ledger) -> None:
    """The right number of spans with one of them twice is incomplete."""
    ledger.received(1, [11, 12, 12], now_ns=1)
    totals = ledger.totals()
    assert (totals.duplicates, totals.kept_incomplete) == (1, 1)


def test_a_span_that_nobody_sent_is_a_stranger(ledger: Ledger) -> None:
    """Unknown traces and unknown spans of known traces are strangers."""
    ledger.received(9, [1, 2], now_ns=1)
    ledger.received(2, [99], now_ns=1)
    assert ledger.totals().strangers == 3
    assert not ledger.totals().holds


def test_nothing_arrived_means_dropped(ledger: Ledger) -> None:
    """Traces of which nothing arrived are dropped, and that is no fault."""
    assert ledger.totals().dropped == 2
    assert ledger.totals().holds


def test_settling_keeps_the_totals(ledger: Ledger) -> None:
    """Forgetting old traces does not change any total."""
    ledger.received(1, [11, 12, 13], now_ns=1)
    before = ledger.totals()
    ledger.settle(now_ns=_SETTLE_NS + 2)
    assert ledger.open_traces == 0
    assert ledger.totals() == before


def test_a_trace_that_is_touched_is_not_settled(ledger: Ledger) -> None:
    """A trace stays open until nothing happened to it for the whole time."""
    ledger.received(1, [11], now_ns=90)
    ledger.settle(now_ns=_SETTLE_NS + 2)
    assert ledger.open_traces == 1


def test_what_arrives_after_settling_shows(ledger: Ledger) -> None:
    """A span of a settled trace is a stranger: it is never silently forgiven."""
    ledger.received(1, [11, 12], now_ns=1)
    ledger.settle(now_ns=_SETTLE_NS + 2)
    ledger.received(1, [13], now_ns=_SETTLE_NS + 3)
    assert (ledger.totals().strangers, ledger.totals().kept_incomplete) == (1, 1)
