"""The example for one machine, as the README starts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LOCAL = Path(__file__).parents[2] / "examples" / "local"


@pytest.mark.parametrize(
    ("service", "name"),
    [("router", "router"), ("sampler", "sampler-1"), ("sampler", "sampler-2")],
)
def test_the_files_for_one_machine_are_valid(service: str, name: str) -> None:
    """Each file is taken by its service without a warning."""
    command = [sys.executable, "-m", f"tailring_{service}", "validate"]
    done = subprocess.run(
        [*command, "--config", str(LOCAL / f"{name}.yaml")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "configuration is valid\n")
    assert done.stderr == ""


def test_the_files_for_one_machine_agree() -> None:
    """The router sends where the samplers listen."""
    router = (LOCAL / "router.yaml").read_text()
    for name in ("sampler-1", "sampler-2"):
        text = (LOCAL / f"{name}.yaml").read_text()
        endpoint = text.split("grpc: {endpoint: ")[1].split("}")[0]
        assert endpoint in router
