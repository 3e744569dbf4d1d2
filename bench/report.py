"""Readings as a page: medians, spread, ratios, budgets. Pure text in and out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.measure import Case

__all__ = ["Machine", "Readings", "page"]

Readings = Mapping[tuple[Case, str], Sequence[float]]
"""What was read, per case and side, one number a run."""


_LATENCY_MS_MAX = 10.0
_LOAD_QUIET = 0.25  # load average a core that does not disturb


@dataclass(frozen=True, slots=True)
class Machine:
    """What the figures depend on, without names."""

    cores: int
    memory_gib: int
    processor: str
    python: str
    wire_code: str
    peer: str
    load_before: float


@dataclass(frozen=True, slots=True)
class _Budget:
    """Ours over the peer's must be at most ``at_most``."""

    what: str
    ours: Callable[[Case], bool]
    peer: Callable[[Case], bool]
    at_most: float


def _plain(kind: str, size: int, *, batch: bool = False) -> Callable[[Case], bool]:
    return lambda it: (
        (it.kind, it.size, it.batch, it.scattered, it.compression, it.backends)
        == (kind, size, batch, False, "none", 4)
    )


def _zipped(size: int) -> Callable[[Case], bool]:
    return lambda it: (it.kind, it.size, it.compression) == ("router", size, "gzip")


def _scattered(kind: str) -> Callable[[Case], bool]:
    return lambda it: it.kind == kind and it.size == 1000 and it.scattered


def _budgets() -> list[_Budget]:
    """The aims of the design, as ratios of CPU a span (memory: of bytes held)."""
    rows = [
        _same("router, 8,192 spans a request", _plain("router", 8192), 0.25),
        _same("router, 1,000", _plain("router", 1000), 0.33),
        _same("router, 8,192, both with gzip", _zipped(8192), 0.65),
        _same("router, 1,000, both with gzip", _zipped(1000), 0.65),
    ]
    rows += [
        _Budget(
            f"router, {size}, the peer with `batch`",
            _plain("router", size),
            _plain("router", size, batch=True),
            at_most,
        )
        for size, at_most in ((100, 0.7), (10, 3.0), (1, 5.0))
    ]
    rows += [
        _same("sampler, 1,000, gathered", _plain("sampler", 1000), 0.25),
        _same("sampler, 1,000, scattered", _scattered("sampler"), 0.25),
        _same("sampler, memory held, gathered", _plain("memory", 1000), 0.25),
        _same("sampler, memory held, scattered", _scattered("memory"), 0.25),
    ]
    return rows


def _same(what: str, case: Callable[[Case], bool], at_most: float) -> _Budget:
    return _Budget(what, case, case, at_most)


def page(readings: Readings, machine: Machine, *, runs: int, quick: bool) -> str:
    """The whole of docs/performance.md."""
    parts = [_HEAD, _machine(machine, runs=runs, quick=quick), "## Budgets\n"]
    parts.append(_budget_table(readings))
    for title, text, kind in _SECTIONS:
        cases = sorted({case for case, _ in readings if case.kind == kind}, key=_order)
        if cases:
            parts += [f"## {title}\n", text, _table(readings, cases)]
    parts.append(_METHOD)
    return "\n".join(parts)


def _machine(machine: Machine, *, runs: int, quick: bool) -> str:
    lines = [
        f"{machine.cores} cores ({machine.processor}), {machine.memory_gib} GiB of"
        f" memory, Python {machine.python}, wire code {machine.wire_code}; the peer is"
        f" {machine.peer}.",
        f"Each figure is the median of {runs} run{'s' if runs > 1 else ''}, ours and"
        " the peer's in turn; the spread from the lowest to the highest run stands"
        " behind it.",
    ]
    if machine.load_before > _LOAD_QUIET * machine.cores:
        lines.append(
            "**The machine was busy with other work: load average"
            f" {machine.load_before:.1f} before the first run. Small requests and the"
            " latency suffer most; the ratios less.**"
        )
    if quick:
        lines.append(
            "**A quick run: one short pass, for a look only. `make bench` without"
            " `--quick` makes the page that counts.**"
        )
    return "\n".join([*lines, ""])


def _budget_table(readings: Readings) -> str:
    rows = ["| what | ours / peer | budget | |", "| --- | ---: | ---: | --- |"]
    for budget in _budgets():
        ours = _median(readings, budget.ours, "ours")
        peer = _median(readings, budget.peer, "peer")
        rows.append(_budget_row(budget.what, ours, peer, budget.at_most))
    both_ours = _sum(readings, "ours")
    both_peer = _sum(readings, "peer")
    rows.append(
        _budget_row("router and sampler together, 1,000", both_ours, both_peer, 0.25)
    )
    added_ms = _median(readings, lambda it: it.kind == "latency", "ours")
    rows.append(_latency_row(added_ms))
    return "\n".join([*rows, ""])


def _budget_row(
    what: str, ours: float | None, peer: float | None, at_most: float
) -> str:
    if ours is None or peer is None:
        return f"| {what} | not measured | ≤ {at_most:g} | |"
    ratio = ours / peer
    verdict = "met" if ratio <= at_most else "**not yet met**"
    return f"| {what} | {ratio:.2f} | ≤ {at_most:g} | {verdict} |"


def _latency_row(added_ms: float | None) -> str:
    what = "router at half load, added latency, p99"
    if added_ms is None:
        return f"| {what} | not measured | ≤ {_LATENCY_MS_MAX:g} ms | |"
    verdict = "met" if added_ms <= _LATENCY_MS_MAX else "**not yet met**"
    return f"| {what} | {added_ms:.1f} ms | ≤ {_LATENCY_MS_MAX:g} ms | {verdict} |"


def _sum(readings: Readings, side: str) -> float | None:
    router = _median(readings, _plain("router", 1000), side)
    sampler = _median(readings, _plain("sampler", 1000), side)
    if router is None or sampler is None:
        return None
    return router + sampler


def _median(
    readings: Readings, wanted: Callable[[Case], bool], side: str
) -> float | None:
    for (case, its_side), numbers in readings.items():
        if its_side == side and wanted(case):
            return median(numbers)
    return None


def _table(readings: Readings, cases: Iterable[Case]) -> str:
    rows = ["| | ours | peer | ours / peer |", "| --- | ---: | ---: | ---: |"]
    for case in cases:
        ours, peer = readings.get((case, "ours")), readings.get((case, "peer"))
        ratio = f"{median(ours) / median(peer):.2f}" if ours and peer else ""
        rows.append(f"| {_name(case)} | {_cell(ours)} | {_cell(peer)} | {ratio} |")
    return "\n".join([*rows, ""])


def _cell(numbers: Sequence[float] | None) -> str:
    if not numbers:
        return "not measured"
    middle = _digits(median(numbers))
    if len(numbers) == 1:
        return middle
    return f"{middle} ({_digits(min(numbers))} to {_digits(max(numbers))})"


def _digits(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def _order(case: Case) -> tuple[int, bool, bool, bool, int]:
    zipped = case.compression != "none"
    return case.backends, zipped, case.batch, case.scattered, case.size


def _name(case: Case) -> str:
    words = [f"{case.size:,} span{'s' if case.size > 1 else ''} a request"]
    if case.kind == "router":
        words.append("gzip" if case.compression == "gzip" else "no compression")
        if case.batch:
            words.append("`batch` before it")
        if case.backends > 4:
            words.append(f"{case.backends} backends")
    elif case.scattered:
        words.append("each trace over 8 requests")
    return ", ".join(words)


_HEAD = """\
# Performance

Written by `make bench`; do not edit. Both services against the OpenTelemetry Collector
on the same machine, in the same run, with the same YAML and the same load.
"""

_SECTIONS = (
    (
        "Router: CPU a span, microseconds",
        "`load_balancing` by trace id to 4 static backends, unless said otherwise.\n",
        "router",
    ),
    (
        "Sampler: CPU a span, microseconds",
        "`tail_sampling` with `status_code`, `latency` and `probabilistic` 10 %; the"
        " decision and the\nexport of the kept 12.6 % are included.\n",
        "sampler",
    ),
    (
        "Sampler: memory held, bytes per byte received",
        "Growth of the resident set while undecided traces of 8 spans are held.\n",
        "memory",
    ),
)

_METHOD = """\
## How it was measured

* CPU is user plus system time of the measured process alone, all its threads, from
  `/proc/<pid>/stat`. Load generator and backends are processes of their own; their
  cost is not in the figures, but they share the cores, so a figure is right to about
  10 % and a ratio to about 15 %. The clock of `/proc` ticks every 10 ms.
* A span has about 258 bytes and 7 attributes, and a request one resource of about 400
  bytes; 8 spans a trace, trace ids random and never the same twice. Requests reach
  the measured process uncompressed, 8 in flight; `gzip` and `no compression` say how
  the router sends on. A request of one span and the scattered ones put the spans of a
  trace into 8 requests.
* Every measurement starts its own processes and sends a tenth of the load first,
  unmeasured. It ends when the backends have counted every span (router) or the
  metrics page says that every trace is decided (sampler, `decision_wait` 2 s).
* Both sides keep their defaults but for the queue, which is made large enough to
  refuse nothing. By default the peer acknowledges when a request is in its queue and
  ours when the backends have acknowledged it.
* With `batch` before it the peer acknowledges at once, ours after the flush, which is
  when nothing was added for 5 ms. Ours joins what it sends to each backend anyway.
* Half load is the rate at which the router uses half a core, with 100 spans a request.
  Latency counts from the moment when a request was due until it was acknowledged, which
  ours does when the backends have it; that of requests straight to a backend is taken
  off. The peer acknowledges earlier, so there is no such figure of it.
* `python -m bench.micro` measures the wire code and the ring alone, compiled and pure.
* `python -m bench.storage` measures the queue on disk alone: records and bytes a second
  written and read back, CPU a span, and the longest turn of the event loop.
"""
