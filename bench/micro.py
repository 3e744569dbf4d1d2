"""The wire code and the ring alone: nanoseconds a span, compiled and pure.

``python -m bench.micro`` runs itself twice, once with the packages as installed and
once with their plain Python in front (copied without the compiled modules), and
prints both beside each other. Takes about half a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

__all__ = ["main"]

_SIZES = (10, 1000)
_BACKENDS = 4
_TARGET_S = 0.4
_REPEATS = 3
_PACKAGES = ("otlpwire", "hashring")


def _best_ns(work: Callable[[], object], per_call: int) -> float:
    """Nanoseconds a span of the best of several repeats."""
    began_s = time.perf_counter()
    work()
    once_s = time.perf_counter() - began_s
    calls = max(1, int(_TARGET_S / max(once_s, 1e-7)))
    best_s = float("inf")
    for _ in range(_REPEATS):
        began_s = time.perf_counter()
        for _ in range(calls):
            work()
        best_s = min(best_s, time.perf_counter() - began_s)
    return best_s / calls / per_call * 1e9


def _routing_figures(table: list[int]) -> dict[str, float]:
    """A request of 1,000 items of each signal, by each routing key."""
    import tailring_otlpwire as wire
    from bench import signals

    found: dict[str, float] = {}
    size = _SIZES[-1]
    for kind, payload in signals.payloads(size).items():
        word = signals.ITEMS[kind]
        validate = partial(wire.validate, payload, kind)
        found[f"validate, {size} {word}"] = _best_ns(validate, size)
        for key, names in signals.KEYS[kind]:
            rule = wire.RoutingRule(kind, key, names)
            name = f"split by {' '.join((key, *names))}, {size} {word}"
            found[name] = _best_ns(partial(wire.split_by, payload, table, rule), size)
    return found


def _figures() -> dict[str, float]:
    from bench.stream import Stream

    import tailring_hashring
    import tailring_otlpwire as wire

    endpoints = [f"10.0.0.{number}:4317" for number in range(_BACKENDS)]
    ring = tailring_hashring.build(endpoints)
    table = ring.table()
    found = {"compiled": float(wire.COMPILED)}
    for size in _SIZES:
        stream = Stream(size, scattered=False, seed=3)
        (buf,) = next(stream.rounds()).payloads
        headers = wire.HeaderCache(1000)
        groups = wire.group(buf, headers)
        pieces = [piece for it in groups for piece in it.pieces]
        work: Mapping[str, Callable[[], object]] = {
            "validate": partial(wire.validate, buf),
            "split to 4": partial(wire.split, buf, table),
            "group": partial(wire.group, buf, headers),
            "join": partial(wire.join, pieces),
        }
        for name, call in work.items():
            found[f"{name}, {size} spans"] = _best_ns(call, size)
    found |= _routing_figures(table)
    many = [f"10.{number // 250}.{number % 250}.1:4317" for number in range(300)]
    found["ring of 300, built"] = _best_ns(lambda: tailring_hashring.build(many), 1)
    found["its table"] = _best_ns(lambda: tailring_hashring.build(many).table(), 1)
    return found


def _run(python_path: str) -> dict[str, float]:
    env = {**os.environ, "PYTHONPATH": python_path}
    done = subprocess.run(
        [sys.executable, "-m", "bench.micro", "--child"],
        capture_output=True,
        text=True,
        env=env,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _copy_pure(folder: Path) -> None:
    """The packages without their compiled modules."""
    for name in _PACKAGES:
        source = Path("libs") / name / "src" / f"tailring_{name}"
        shutil.copytree(
            source, folder / source.name, ignore=shutil.ignore_patterns("*.so")
        )


def main() -> None:
    """Print the table; ``--child`` measures in this process and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", action="store_true", help="measure here, as JSON")
    if parser.parse_args().child:
        print(json.dumps(_figures()))
        return
    with tempfile.TemporaryDirectory() as folder:
        _copy_pure(Path(folder))
        installed, pure = _run(""), _run(folder)
    form = "compiled" if installed.pop("compiled") else "pure (no compiled modules)"
    pure.pop("compiled")
    print(f"| nanoseconds, a span or a ring | {form} | pure | |")
    print("| --- | ---: | ---: | ---: |")
    for name, number in installed.items():
        times = pure[name] / number
        print(f"| {name} | {number:,.0f} | {pure[name]:,.0f} | {times:.1f} x |")


if __name__ == "__main__":
    main()
