"""Run seeds by hand: ``python -m tests.simulation FIRST [LAST]``.

One seed prints its whole history, and what broke; several print those that fail.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence

from tests.simulation.scenario import draw
from tests.simulation.world import SimulationFailed, root_cause, run_seed


def main(arguments: Sequence[str]) -> int:
    """The exit code: 1 when a seed broke a rule."""
    about = (__doc__ or "").partition("\n")[2]
    parser = argparse.ArgumentParser("python -m tests.simulation", description=about)
    parser.add_argument("first", type=int, help="a seed")
    parser.add_argument("last", type=int, nargs="?", help="the last seed of a range")
    given = parser.parse_args(arguments)
    first = given.first
    last = first if given.last is None else given.last
    if first == last:
        return _tell(first)
    failed = 0
    for seed in range(first, last + 1):
        try:
            run_seed(seed)
        except SimulationFailed as error:
            failed += 1
            print(f"{seed}: {_where(error.__cause__)}", flush=True)
    print(f"{last - first + 1} seeds, {failed} failed")
    return 1 if failed else 0


def _tell(seed: int) -> int:
    """Run one seed and print all that is known of it."""
    print(draw(seed))
    try:
        world = run_seed(seed)
    except SimulationFailed as error:
        cause = error.__cause__
        print(*error.lines, *traceback.format_exception(cause), sep="\n")
        print(f"seed {seed} failed: {_where(cause)}")
        return 1
    print(*world.history.lines, sep="\n")
    print(f"seed {seed} is fine: {world.history.count} lines, {world.history.digest}")
    return 0


def _where(error: BaseException | None) -> str:
    """One line: what was broken, and where it was noticed."""
    assert error is not None
    error = root_cause(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} {frame.name}: {frame.line} {error}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
