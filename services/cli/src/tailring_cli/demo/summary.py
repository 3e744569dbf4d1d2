"""What the demo says at its end: every kept trace whole, and the counters balance.

Pure: `Figures` in, text and verdict out.
"""

from __future__ import annotations

from dataclasses import dataclass

from tailring_cli.demo.figures import Figures

__all__ = ["Balance", "balances", "good", "summary"]


@dataclass(frozen=True, slots=True)
class Balance:
    """Two counts of the same things, taken on both sides of a hop."""

    left: str
    left_count: int
    right: str
    right_count: int

    @property
    def even(self) -> bool:
        """True when nothing was lost and nothing was added on the way."""
        return self.left_count == self.right_count


def balances(last: Figures) -> tuple[Balance, ...]:
    """The hops of a span, in the order of the way."""
    totals, samplers = last.totals, last.samplers
    accepted = sum(router.accepted_spans for router in last.routers)
    routed = sum(sum(router.sent_spans.values()) for router in last.routers)
    taken = sum(it.accepted_spans for it in samplers)
    kept = sum(it.kept_spans for it in samplers)
    decided = kept + sum(it.dropped_spans for it in samplers)
    sent = sum(it.sent_spans for it in samplers)
    traces = sum(it.decided_traces for it in samplers)
    return (
        Balance("sent by the SDKs", totals.spans_sent, "accepted by routers", accepted),
        Balance("accepted by routers", accepted, "sent to samplers", routed),
        Balance("sent to samplers", routed, "accepted by samplers", taken),
        Balance("accepted by samplers", taken, "decided, keep or drop", decided),
        Balance("decided to keep", kept, "sent by samplers", sent),
        Balance(
            "sent by samplers", sent, "received by the sink", totals.spans_received
        ),
        Balance("traces sent", totals.traces_sent, "decided by samplers", traces),
    )


def good(last: Figures) -> bool:
    """True when the proof holds: whole traces, nothing twice, even counters."""
    return last.totals.holds and all(balance.even for balance in balances(last))


def summary(last: Figures) -> str:
    """The closing words, plain text."""
    totals = last.totals
    kept = totals.kept_whole + totals.kept_incomplete
    lines = [
        "",
        f"traces sent        {totals.traces_sent:>10,}",
        f"  kept whole       {totals.kept_whole:>10,}   with every span that was sent",
        f"  kept incomplete  {totals.kept_incomplete:>10,}",
        f"  dropped          {totals.dropped:>10,}   by decision",
        f"spans sent         {totals.spans_sent:>10,}",
        f"spans received     {totals.spans_received:>10,}",
        f"  duplicates       {totals.duplicates:>10,}",
        f"  strangers        {totals.strangers:>10,}",
    ]
    if last.failed_spans:
        lines.append(f"  not accepted by a router {last.failed_spans:,}")
    lines.append("")
    lines += [_line(balance) for balance in balances(last)]
    lines.append("")
    lines.append(_verdict(last, kept))
    return "\n".join(lines)


def _line(balance: Balance) -> str:
    sign = "=" if balance.even else "≠"
    left = f"{balance.left} {balance.left_count:,}"
    return f"{left:>36} {sign} {balance.right_count:,} {balance.right}"


def _verdict(last: Figures, kept: int) -> str:
    if good(last):
        return (
            f"PASS: {kept:,} of {kept:,} kept traces are whole; the counters balance."
        )
    wrong = []
    if last.totals.kept_incomplete:
        wrong.append(f"{last.totals.kept_incomplete:,} kept traces are not whole")
    if last.totals.duplicates:
        wrong.append(f"{last.totals.duplicates:,} spans arrived twice")
    if last.totals.strangers:
        wrong.append(f"{last.totals.strangers:,} spans arrived that nobody sent")
    if not all(balance.even for balance in balances(last)):
        wrong.append("the counters do not balance")
    return f"FAIL: {'; '.join(wrong)}."
