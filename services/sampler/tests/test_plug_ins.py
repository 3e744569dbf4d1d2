"""An installed plug-in, as the command of the sampler meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MODULE = """
from tailring_runtime.config import ConfigModel
from tailring_sampler.policies import PolicyType, Vote


class Block(ConfigModel):
    answer: int = 0


class Fine:
    def evaluate(self, trace, now_ns):
        return Vote.SAMPLED


def fails(block):
    raise OSError(f"no table for {block.answer}")


def wordless(block):
    raise KeyError


FINE = PolicyType("fine", Block, lambda block: Fine())
FAILS = PolicyType("fails", Block, fails)
WORDLESS = PolicyType("wordless", Block, wordless)
EMPTY = PolicyType("empty", Block, lambda block: None)
"""
ENTRY_POINTS = """
[tailring.policies]
fine = a_plug_in:FINE
fails = a_plug_in:FAILS
wordless = a_plug_in:WORDLESS
empty = a_plug_in:EMPTY
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with an installed distribution that brings four types of policies."""
    (tmp_path / "a_plug_in.py").write_text(MODULE)
    info = tmp_path / "a_plug_in-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: a-plug-in\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return tmp_path


def validate(folder: Path, *policies: dict[str, Any]) -> tuple[int, str]:
    """What ``tailring-sampler validate`` says of these policies: exit code, words."""
    tree = {
        "receivers": {"otlp": {"protocols": {"grpc": None}}},
        "processors": {"tail_sampling": {"policies": list(policies)}},
        "exporters": {"nop": None},
        "service": {
            "pipelines": {
                "traces": {
                    "receivers": ["otlp"],
                    "processors": ["tail_sampling"],
                    "exporters": ["nop"],
                }
            }
        },
    }
    path = folder / "config.json"
    path.write_text(json.dumps(tree))
    search = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "tailring_sampler", "validate", "--config", str(path)],
        env={**os.environ, "PYTHONPATH": search.rstrip(os.pathsep)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def test_an_installed_plug_in_is_found(installed: Path) -> None:
    """A policy type behind an entry point may stand in the file, with its own block."""
    entry = {"name": "p", "type": "fine", "fine": {"answer": 42}}
    assert validate(installed, entry) == (0, "configuration is valid\n")


def test_what_a_plug_in_cannot_build_is_a_problem_of_the_file(installed: Path) -> None:
    """Each policy that cannot be built is told with its place, before any start."""
    code, said = validate(
        installed,
        {"name": "a", "type": "fails", "fails": {"answer": 42}},
        {"name": "b", "type": "fine"},
        {"name": "c", "type": "wordless"},
        {"name": "d", "type": "empty"},
    )
    assert code == 2
    assert "3 problems" in said
    place = "processors::tail_sampling::policies"
    for at, kind, reason in (
        (0, "fails", "its type cannot build it: no table for 42"),
        (2, "wordless", "its type cannot build it: KeyError"),
        (3, "empty", "its type builds no policy: NoneType has no evaluate()"),
    ):
        name = "abcd"[at]
        problem = f'failed to create policy evaluator for "{name}": {reason}'
        assert any(
            f"{place}[{at}]::{kind}: {problem}" in line for line in said.splitlines()
        ), said


def test_the_example_of_the_documentation_works(tmp_path: Path) -> None:
    """The policy of docs/policies.md can be installed and configured as it says."""
    page = Path(__file__).parents[3] / "docs" / "policies.md"
    module = page.read_text().split("```python\n")[1].split("```")[0]
    (tmp_path / "keep_large.py").write_text(module)
    info = tmp_path / "keep_large-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: keep-large\n")
    entry_points = "[tailring.policies]\nkeep_large = keep_large:KEEP_LARGE\n"
    (info / "entry_points.txt").write_text(entry_points)
    policy = {"name": "large", "type": "keep_large", "keep_large": {"spans_min": 500}}
    assert validate(tmp_path, policy) == (0, "configuration is valid\n")
    code, words = validate(tmp_path, {**policy, "keep_large": {"span_min": 500}})
    assert code == 2
    assert "spans_min" in words
