"""The ledger: which spans were sent, which came out at the far end, trace by trace.

What it is: the proof of the demo. Every span that an SDK ended is written in the
left column, every span that reached the sink in the right one. A trace is

* dropped        nothing of it arrived,
* kept whole     exactly the spans that were sent arrived,
* incomplete     some arrived and some did not.

Rules kept: exact, by span id and not by count; a span that arrives twice is a
duplicate and one that nobody sent is a stranger. Bounded: a trace that nothing
happened to for ``settle_after_ns`` is added to the totals and forgotten, so a demo
may run for days; whatever arrives for it later is a stranger and shows.

What it does not know: processes, sockets, clocks. Times are monotonic nanoseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["Ledger", "Totals"]


@dataclass(slots=True)
class Totals:
    """What the ledger says so far; every number counts from the start."""

    traces_sent: int = 0
    spans_sent: int = 0
    spans_received: int = 0
    kept_whole: int = 0
    kept_incomplete: int = 0
    dropped: int = 0
    duplicates: int = 0
    strangers: int = 0

    @property
    def holds(self) -> bool:
        """True when every kept trace is whole and nothing came twice or unasked."""
        return not (self.kept_incomplete or self.duplicates or self.strangers)


@dataclass(slots=True)
class _Trace:
    touched_ns: int
    sent: set[int] = field(default_factory=set)
    received: set[int] = field(default_factory=set)


class Ledger:
    """Both columns; one owner, who calls every method from the same thread."""

    def __init__(self, *, settle_after_ns: int) -> None:
        self._settle_after_ns = settle_after_ns
        self._traces: dict[int, _Trace] = {}
        self._totals = Totals()

    def sent(self, trace_id: int, span_id: int, *, now_ns: int) -> None:
        """A span was ended by an SDK and is on its way."""
        trace = self._traces.get(trace_id)
        if trace is None:
            trace = self._traces[trace_id] = _Trace(now_ns)
            self._totals.traces_sent += 1
        trace.touched_ns = now_ns
        trace.sent.add(span_id)
        self._totals.spans_sent += 1

    def received(self, trace_id: int, span_ids: Iterable[int], *, now_ns: int) -> None:
        """Spans of one trace arrived at the sink."""
        totals = self._totals
        trace = self._traces.get(trace_id)
        for span_id in span_ids:
            totals.spans_received += 1
            if trace is None or span_id not in trace.sent:
                totals.strangers += 1
            elif span_id in trace.received:
                totals.duplicates += 1
            else:
                trace.received.add(span_id)
                trace.touched_ns = now_ns

    def settle(self, now_ns: int) -> None:
        """Add the traces that are long over to the totals and forget them."""
        limit_ns = now_ns - self._settle_after_ns
        over = [key for key, it in self._traces.items() if it.touched_ns < limit_ns]
        for key in over:
            _judge(self._traces.pop(key), self._totals)

    def totals(self) -> Totals:
        """The totals if every open trace were judged on what is there now."""
        totals = Totals(**{name: getattr(self._totals, name) for name in _FIELDS})
        for trace in self._traces.values():
            _judge(trace, totals)
        return totals

    @property
    def open_traces(self) -> int:
        """How many traces are held in memory."""
        return len(self._traces)


_FIELDS = tuple(Totals.__dataclass_fields__)


def _judge(trace: _Trace, totals: Totals) -> None:
    if not trace.received:
        totals.dropped += 1
    elif trace.received == trace.sent:
        totals.kept_whole += 1
    else:
        totals.kept_incomplete += 1
