"""Fault runs by hand: ``python -m tests.faults [--fault NAME] [--seconds 60]``.

Each fault happens to one of five backends under load; a table at the end says what
came of it, and the exit code is 1 when something is not as promised.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.faults.faults import FAULTS
from tests.faults.trial import Result, Shape, run_trial

_HEADER = (
    "| fault | spans | lost | came twice | in doubt | refusals | p50 s | p99 s |"
    " took s |"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 1 when a fault broke a promise."""
    given = _parser().parse_args(arguments)
    shape = Shape(
        spans_per_s=given.rate,
        seconds=given.seconds,
        strikes_s=given.seconds / 4,
        lasts_s=given.seconds / 4,
    )
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for name in given.fault or FAULTS:
            if given.peer and FAULTS[name].reached == "by name":
                continue  # the peer asks no DNS server of ours
            place = Path(given.keep or folder) / name
            result = run_trial(FAULTS[name], shape, place, peer=given.peer)
            print(_row(result), *result.problems(), sep="\n  ", flush=True)
            results.append(result)
    print(table(results))
    return 0 if given.peer or not any(one.problems() for one in results) else 1


def table(results: Sequence[Result]) -> str:
    """The results, a line each."""
    rule = "|" + "---|" * (_HEADER.count("|") - 1)
    return "\n".join([_HEADER, rule, *map(_row, results)])


def _row(result: Result) -> str:
    pressed = result.pressed
    cells = (
        result.fault,
        f"{result.spans:,}",
        f"{result.lost:,}",
        f"{result.duplicates:,}",
        f"{result.doubted:,}",
        f"{pressed.refusals:,}",
        f"{pressed.late_at(0.5):.2f}",
        f"{pressed.late_at(0.99):.2f}",
        f"{result.took_s:.0f}",
    )
    return "| " + " | ".join(cells) + " |"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "--fault", action="append", choices=list(FAULTS), help="only this; repeatable"
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=20_000, help="spans a second")
    parser.add_argument(
        "--peer", action="store_true", help="a real Collector instead of the router"
    )
    parser.add_argument("--keep", help="folder for the files of the run")
    return parser


if __name__ == "__main__":
    sys.exit(main())
