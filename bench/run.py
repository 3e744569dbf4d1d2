"""`make bench`: measure both sides in turn and write docs/performance.md.

``python -m bench [--quick] [--only KIND] [--runs N] [--out FILE]``
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Iterable
from pathlib import Path

from bench.measure import Case, measure
from bench.report import Machine, page
from bench.target import SIDES

import tailring_otlpwire
from bench import storage
from tailring_testkit.process import ChildFailed
from tailring_testkit.servers import repository

__all__ = ["cases", "main"]

# Spans a measurement, by request size: enough for two seconds of the peer's CPU time.
_SPANS = {1: 20_000, 10: 100_000, 100: 400_000, 1000: 800_000, 8192: 1_000_000}
_QUICK_SPANS = {1: 4_000, 10: 20_000, 100: 80_000, 1000: 200_000, 8192: 400_000}
_FLEET = 50
_HELD_SPANS = 400_000
_QUICK_HELD_SPANS = 160_000


def cases(*, quick: bool) -> list[Case]:
    """Everything that is measured."""
    spans = _QUICK_SPANS if quick else _SPANS
    found = [Case("router", size, count) for size, count in spans.items()]
    found += [Case("router", size, count, batch=True) for size, count in spans.items()]
    found += [
        Case("router", size, spans[size], compression="gzip")
        for size in spans
        if size >= 1000 or not quick
    ]
    found += [
        Case("router", size, spans[size], backends=_FLEET) for size in (100, 1000, 8192)
    ]
    found += [Case("sampler", size, count) for size, count in spans.items()]
    found.append(Case("sampler", 1000, spans[1000], scattered=True))
    held = _QUICK_HELD_SPANS if quick else _HELD_SPANS
    found += [
        Case("memory", 1000, held, scattered=scattered) for scattered in (False, True)
    ]
    found.append(Case("latency", 100, spans[100]))
    return found


def _measured(case: Case, side: str) -> bool:
    """The latency of the peer would say nothing: it acknowledges when a request is in
    its queue, so a client does not see what it adds."""
    return side == "ours" or case.kind != "latency"


def main() -> None:
    """Measure as the command line says."""
    options = _options()
    chosen = [it for it in cases(quick=options.quick) if it.kind in options.only]
    machine = _machine()
    readings: dict[tuple[Case, str], list[float]] = {}
    for run in range(options.runs):
        print(f"run {run + 1} of {options.runs}")
        for case in chosen:
            for side in (it for it in options.sides if _measured(case, it)):
                number = _try(case, side, seed=100 * run + 1)
                readings.setdefault((case, side), []).extend(number)
    text = page(readings, machine, runs=options.runs, quick=options.quick)
    if "storage" in options.only:
        text += storage.section()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text)
    print(f"wrote {options.out}")


def _try(case: Case, side: str, *, seed: int) -> list[float]:
    """One measurement; one that fails is told, and the page says "not measured"."""
    try:
        number = measure(case, side, seed=seed)
    except (ChildFailed, RuntimeError, TimeoutError) as error:
        print(f"{side} {case} failed: {error}", file=sys.stderr)
        return []
    print(f"  {side} {number:8.3f} {case}")
    sys.stdout.flush()
    return [number]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench", description="Both services against the peer."
    )
    parser.add_argument("--quick", action="store_true", help="one short pass")
    parser.add_argument("--runs", type=int, help="passes (3; quick: 1)")
    kinds = ("router", "sampler", "memory", "latency", "storage")
    parser.add_argument("--only", nargs="+", choices=kinds, default=kinds)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    default = repository() / "docs" / "performance.md"
    parser.add_argument("--out", type=Path, help=f"the page ({default.name} in docs/)")
    options = parser.parse_args()
    options.runs = options.runs or (1 if options.quick else 3)
    # A quick look must not replace the page that counts.
    quick_out = repository() / "build" / "performance-quick.md"
    options.out = options.out or (quick_out if options.quick else default)
    return options


def _machine() -> Machine:
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        cores=os.cpu_count() or 0,
        memory_gib=round(memory_bytes / 2**30),
        processor=_processor(Path("/proc/cpuinfo").read_text().splitlines()),
        python=platform.python_version(),
        wire_code="compiled" if tailring_otlpwire.COMPILED else "pure Python",
        load_before=os.getloadavg()[1],
        peer="otelcol v0.161.0 built from its Go modules",
    )


def _processor(lines: Iterable[str]) -> str:
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
