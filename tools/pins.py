"""Pins: what the packages ask for becomes exact versions with hashes.

``make pins`` writes, in ``requirements/``:

* ``packages.in`` and ``runtime.in``, out of the dependencies that the packages'
  ``pyproject.toml`` name: all packages, and those that the images hold
* ``dev.txt`` (packages and ``dev.in``), ``runtime.txt`` (the same versions, fewer
  of them), ``fuzz.txt`` and ``servers.txt``

Versions stay as they are where they still fit; ``--upgrade`` takes the newest. No
file names a package index: whoever installs chooses it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

PYTHON = "3.11"
WRITTEN = "# Written by `make pins`: {}.\n"
# What only a workstation needs: tests and the `tailring` command.
NOT_IN_IMAGES = frozenset({"libs/testkit", "services/cli"})
_OPTIONS = (
    "--universal",
    f"--python-version={PYTHON}",
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-header",
    "--quiet",
)


def packages(root: Path) -> list[str]:
    """The folders of the workspace's packages."""
    settings = tomllib.loads((root / "pyproject.toml").read_text())
    return list(settings["tool"]["tailring"]["packages"])


def dependencies(root: Path, folders: Iterable[str]) -> list[str]:
    """What the packages in ``folders`` ask for beside each other, sorted."""
    wanted: set[str] = set()
    for folder in folders:
        text = (root / folder / "pyproject.toml").read_text()
        wanted.update(tomllib.loads(text)["project"]["dependencies"])
    return sorted(one for one in wanted if not re.match(r"tailring-", one))


def write_inputs(root: Path) -> None:
    """Write ``packages.in`` and ``runtime.in``."""
    every = packages(root)
    images = [folder for folder in every if folder not in NOT_IN_IMAGES]
    for name, folders, about in (
        ("packages.in", every, "what the packages ask for, together"),
        ("runtime.in", images, "what the packages in the images ask for"),
    ):
        lines = dependencies(root, folders)
        text = WRITTEN.format(about) + "".join(f"{line}\n" for line in lines)
        (root / "requirements" / name).write_text(text)


def compile_pins(folder: Path, output: str, *arguments: str) -> None:
    """Resolve the given inputs into ``output``, which keeps the versions it has."""
    command = ["uv", "pip", "compile", *_OPTIONS, "--output-file", output, *arguments]
    # Run inside the folder, so that the comments name files and not paths.
    subprocess.run([sys.executable, "-m", *command], cwd=folder, check=True)


def main(arguments: list[str]) -> int:
    """Write every file; ``--upgrade`` takes newer versions."""
    root = Path(__file__).resolve().parents[1]
    folder = root / "requirements"
    write_inputs(root)
    compile_pins(folder, "dev.txt", "dev.in", "packages.in", *arguments)
    # The images get the versions that the tests ran with.
    compile_pins(folder, "runtime.txt", "runtime.in", "--constraints", "dev.txt")
    compile_pins(folder, "fuzz.txt", "fuzz.in", *arguments)
    compile_pins(folder, "servers.txt", "servers.in", *arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
