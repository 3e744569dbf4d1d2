"""Fault runs by hand: ``python -m tests.faults [WHAT]``.

``backends``: each fault happens to one of five backends under load. ``kills``: the
router is killed under load. ``storage``: the same with a queue on disk, and a backend
that is away half of the time. ``outage``: no backend is there for long. ``sampler``:
a sampler's backend is away for long, then the sampler is killed. A table at the
end says what came of it, and the exit code is 1 when something is not as promised.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.faults.faults import FAULTS
from tests.faults.kills import run_kills
from tests.faults.outage import run_outage
from tests.faults.outage_sampler import run_sampler_outage
from tests.faults.storage_kills import run_storage_kills
from tests.faults.trial import Shape, run_trial

from tailring_testkit.pressure import Pressed

_COLUMNS = {
    "backends": (
        "fault",
        "spans",
        "lost",
        "came twice",
        "in doubt",
        "refusals",
        "p50 s",
        "p99 s",
        "took s",
    ),
    "kills": ("kills", "spans", "lost", "came twice", "refusals", "p50 s", "p99 s"),
    "storage": (
        "kills",
        "spans",
        "lost",
        "came twice",
        "recovered",
        "most on disk",
        "refusals",
        "p50 s",
        "p99 s",
    ),
    "outage": (
        "limit MiB",
        "most MiB",
        "sent",
        "acknowledged",
        "refusals",
        "lost",
        "came twice",
        "drained s",
    ),
    "sampler": (
        "sent",
        "acknowledged",
        "refusals",
        "lost",
        "came twice",
        "on disk",
        "recovered",
        "drained s",
    ),
}

Row = Sequence[str | int | float]
Run = tuple[Row, list[str]]


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 1 when a promise was broken."""
    given = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(given.keep or folder)
        runs = list(_told(_RUNS[given.what](given, place)))
    columns = _COLUMNS[given.what]
    rule = "|" + "---|" * len(columns)
    print(_line(columns), rule, *(_line(row) for row, _ in runs), sep="\n")
    return 0 if given.peer or not any(problems for _, problems in runs) else 1


def _backends(given: argparse.Namespace, folder: Path) -> Iterator[Run]:
    seconds = given.seconds or 60.0
    shape = Shape(
        spans_per_s=given.rate or 20_000,
        seconds=seconds,
        strikes_s=seconds / 4,
        lasts_s=seconds / 4,
    )
    for name in given.fault or FAULTS:
        if given.peer and FAULTS[name].reached == "by name":
            continue  # the peer asks no DNS server of ours
        one = run_trial(FAULTS[name], shape, folder / name, peer=given.peer)
        row = (name, one.spans, one.lost, one.duplicates, one.doubted)
        yield (*row, *_late(one.pressed), one.took_s), one.problems()


def _kills(given: argparse.Namespace, folder: Path) -> Iterator[Run]:
    killed = run_kills(given.kills, folder, spans_per_s=given.rate or 5_000)
    found = killed.counted
    row = (killed.kills, found.acknowledged, found.lost, found.duplicates)
    yield (*row, *_late(killed.pressed)), killed.problems()


def _storage(given: argparse.Namespace, folder: Path) -> Iterator[Run]:
    one = run_storage_kills(given.kills, folder, spans_per_s=given.rate or 5_000)
    found = one.counted
    row = (one.kills, found.acknowledged, found.lost, found.duplicates)
    yield (*row, one.recovered, one.most_on_disk, *_late(one.pressed)), one.problems()


def _outage(given: argparse.Namespace, folder: Path) -> Iterator[Run]:
    seconds, rate = given.seconds or 600.0, given.rate or 5_000
    one = run_outage(folder, seconds=seconds, spans_per_s=rate)
    sizes = (one.limit_mib, int(one.rss_max_mib), int(seconds * rate))
    found = one.counted
    counts = (found.acknowledged, one.pressed.refusals, found.lost, found.duplicates)
    yield (*sizes, *counts, one.drained_s), one.problems()


def _sampler(given: argparse.Namespace, folder: Path) -> Iterator[Run]:
    seconds, rate = given.seconds or 600.0, given.rate or 5_000
    one = run_sampler_outage(folder, seconds=seconds, spans_per_s=rate)
    found = one.counted
    counts = (found.acknowledged, one.pressed.refusals, found.lost, found.duplicates)
    row = (int(seconds * rate), *counts, one.on_disk, one.recovered, one.drained_s)
    yield row, one.problems()


_RUNS = {
    "backends": _backends,
    "kills": _kills,
    "storage": _storage,
    "outage": _outage,
    "sampler": _sampler,
}


def _late(pressed: Pressed) -> Row:
    return (pressed.refusals, pressed.late_at(0.5), pressed.late_at(0.99))


def _told(runs: Iterator[Run]) -> Iterator[Run]:
    """The same; what each has found is printed at once."""
    for row, problems in runs:
        print(_line(row), *problems, sep="\n  ", flush=True)
        yield row, problems


def _line(row: Row) -> str:
    words = [f"{it:.2f}" if isinstance(it, float) else it for it in row]
    cells = [f"{it:,}" if isinstance(it, int) else it for it in words]
    return "| " + " | ".join(cells) + " |"


def _parser() -> argparse.ArgumentParser:
    about = (__doc__ or "").split("\n\n", 1)[1]
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=about)
    parser.add_argument("what", nargs="?", default="backends", choices=list(_RUNS))
    parser.add_argument(
        "--fault", action="append", choices=list(FAULTS), help="only this; repeatable"
    )
    parser.add_argument("--seconds", type=float, help="of load (60; outages: 600)")
    parser.add_argument("--rate", type=int, help="spans a second (20000; else 5000)")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument(
        "--peer", action="store_true", help="a real Collector instead of the router"
    )
    parser.add_argument("--keep", help="folder for the files of the run")
    return parser


if __name__ == "__main__":
    sys.exit(main())
