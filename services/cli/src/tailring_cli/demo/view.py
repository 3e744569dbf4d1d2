"""How the demo looks while it runs: a live page, or a line a second.

Both show the same: what was sent, the rate to each backend, the traces that are
held, what each policy kept and dropped, and what the sink has received.
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tailring_cli.demo.figures import Figures
from tailring_cli.demo.layout import Layout

__all__ = ["LiveView", "PlainView", "View"]


class View(Protocol):
    """Shows moments as they come."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""

    def say(self, phase: str) -> None:
        """A new phase began, in a few words."""

    def show(self, before: Figures, now: Figures) -> None:
        """Show ``now``, with rates since ``before``."""


def _rate(before: int, now: int, *, seconds: float) -> float:
    return (now - before) / seconds if seconds > 0 else 0.0


class PlainView:
    """A line a second, for pipes and logs."""

    def __init__(self, console: Console, layout: Layout) -> None:
        self._console = console
        self._layout = layout

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def say(self, phase: str) -> None:
        """A new phase began, in a few words."""
        self._print(f"-- {phase}")

    def show(self, before: Figures, now: Figures) -> None:
        """Show ``now``, with rates since ``before``."""
        self._print(_plain_line(self._layout, before, now))

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, markup=False, highlight=False)


def _plain_line(layout: Layout, before: Figures, now: Figures) -> str:
    seconds = now.at_s - before.at_s
    sent = _rate(before.totals.spans_sent, now.totals.spans_sent, seconds=seconds)
    backends = " ".join(
        f"{_rate(before.to_backend(it), now.to_backend(it), seconds=seconds):.0f}"
        for it in (sampler.endpoint for sampler in layout.samplers)
    )
    votes = " ".join(
        f"{name}:{vote.keep}/{vote.drop}" for name, vote in now.votes.items()
    )
    received = _rate(
        before.totals.spans_received, now.totals.spans_received, seconds=seconds
    )
    return (
        f"{now.at_s:5.1f}s  sent {sent:.0f} spans/s | to samplers {backends} | "
        f"held {now.held_traces} traces | kept/dropped {votes or '-'} | "
        f"sink {received:.0f} spans/s, {now.totals.kept_whole} whole traces"
    )


class LiveView:
    """A page that is drawn over itself."""

    def __init__(self, console: Console, layout: Layout) -> None:
        self._layout = layout
        self._phase = ""
        self._shown: tuple[Figures, Figures] | None = None
        self._live = Live(console=console, auto_refresh=False, transient=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def say(self, phase: str) -> None:
        """A new phase began, in a few words."""
        self._phase = phase
        if self._shown is None:
            self._live.update(Text(f"tailring demo: {phase}"), refresh=True)
        else:
            self.show(*self._shown)

    def show(self, before: Figures, now: Figures) -> None:
        """Show ``now``, with rates since ``before``."""
        self._shown = before, now
        self._live.update(_page(self._layout, self._phase, before, now), refresh=True)


def _page(layout: Layout, phase: str, before: Figures, now: Figures) -> RenderableType:
    seconds = now.at_s - before.at_s
    sent = _rate(before.totals.spans_sent, now.totals.spans_sent, seconds=seconds)
    received = _rate(
        before.totals.spans_received, now.totals.spans_received, seconds=seconds
    )
    head = Text.assemble(
        ("tailring demo ", "bold"),
        f" {now.at_s:,.0f} s  {phase}\n",
        f"shop -> routers  {sent:8,.0f} spans/s  {now.totals.spans_sent:10,} spans in "
        f"{now.totals.traces_sent:,} traces",
    )
    totals = now.totals
    sink = Text(
        f"samplers -> sink {received:8,.0f} spans/s  {totals.spans_received:10,} spans"
        f"; {totals.kept_whole:,} traces whole, {totals.duplicates:,} spans twice",
    )
    return Group(head, _backends(layout, before, now), _policies(now), sink)


def _backends(layout: Layout, before: Figures, now: Figures) -> Table:
    """A row for each sampler: what each router sends it, its share, what it holds."""
    seconds = now.at_s - before.at_s
    table = Table(title="spans/s to each sampler", title_justify="left")
    table.add_column("backend")
    for router in layout.routers:
        table.add_column(router.name, justify="right")
    for heading in ("all spans", "share", "held traces"):
        table.add_column(heading, justify="right")
    all_spans = sum(now.to_backend(it.endpoint) for it in layout.samplers)
    for sampler, numbers in zip(layout.samplers, now.samplers, strict=True):
        end = sampler.endpoint
        rates = [
            _rate(
                old.sent_spans.get(end, 0), new.sent_spans.get(end, 0), seconds=seconds
            )
            for old, new in zip(before.routers, now.routers, strict=True)
        ]
        share = now.to_backend(end) / all_spans if all_spans else 0.0
        table.add_row(
            f"{sampler.name} {end}",
            *(f"{rate:,.0f}" for rate in rates),
            f"{now.to_backend(end):,}",
            f"{share:.0%}",
            f"{numbers.held_traces:,}",
        )
    return table


def _policies(now: Figures) -> Table:
    table = Table(title="decisions, by policy", title_justify="left")
    table.add_column("policy")
    table.add_column("keep", justify="right")
    table.add_column("do not keep", justify="right")
    for name, vote in now.votes.items():
        table.add_row(name, f"{vote.keep:,}", f"{vote.drop:,}")
    return table
