"""The kept corpus of the fuzz target, replayed over the active and the pure form."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import tailring_otlpwire
from tailring_otlpwire import LOGS, METRICS, WireError, validate
from tailring_testkit.pure import load_pure

HERE = Path(__file__).parent


def corpus() -> list[tuple[bytes, str]]:
    rows = (HERE / "testdata" / "corpus.txt").read_text().splitlines()
    pairs = [row.split(" ---- ") for row in rows if row and not row.startswith("#")]
    return [(bytes.fromhex(data.strip("-")), verdict) for data, verdict in pairs]


def corpus_of_signals() -> list[tuple[bytes, list[str]]]:
    rows = (HERE / "testdata" / "corpus_signals.txt").read_text().splitlines()
    cells = [row.split(" ---- ") for row in rows if row and not row.startswith("#")]
    return [(bytes.fromhex(data.strip("-")), verdicts) for data, *verdicts in cells]


def verdict_of(data: bytes, kind: int) -> str:
    try:
        return f"{validate(data, kind)} items"
    except WireError as error:
        return str(error)


def fuzz_target() -> Any:
    path = HERE.parent / "fuzz" / "fuzz_wire.py"
    spec = importlib.util.spec_from_file_location("fuzz_wire", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("data", "verdict"), corpus())
def test_verdict(data: bytes, verdict: str) -> None:
    """Each kept input has the verdict that is written beside it."""
    try:
        found = f"{validate(data)} spans"
    except WireError as error:
        found = str(error)
    assert found == verdict


@pytest.mark.parametrize("wire", [tailring_otlpwire, load_pure("tailring_otlpwire")])
def test_fuzz_target_holds(wire: ModuleType) -> None:
    """What the fuzz target states holds for every kept input."""
    target = fuzz_target()
    for data, verdict in corpus():
        assert target.check(wire, data) == verdict.endswith(" spans")


@pytest.mark.parametrize(("data", "verdicts"), corpus_of_signals())
def test_verdict_as_logs_and_metrics(data: bytes, verdicts: list[str]) -> None:
    """Each kept input has the verdicts that are written beside it."""
    assert [verdict_of(data, kind) for kind in (LOGS, METRICS)] == verdicts


@pytest.mark.parametrize("wire", [tailring_otlpwire, load_pure("tailring_otlpwire")])
def test_fuzz_target_holds_for_every_signal(wire: ModuleType) -> None:
    """What the fuzz target states holds for the inputs of other signals too."""
    target = fuzz_target()
    for data, _ in corpus_of_signals():
        target.check(wire, data)
