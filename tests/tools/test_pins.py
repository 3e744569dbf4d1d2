"""The pin files belong to the packages' own pyproject.toml."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools import pins

_ROOT = Path(__file__).resolve().parents[2]
_FOLDER = _ROOT / "requirements"


def _pinned(name: str) -> dict[str, str]:
    lines = re.findall(r"^([\w.-]+)==(\S+)", (_FOLDER / name).read_text(), re.MULTILINE)
    return {name.lower().replace("_", "-"): version for name, version in lines}


def _name(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found
    return found.group().lower().replace("_", "-")


@pytest.mark.parametrize(
    ("name", "left_out"),
    [("packages.in", frozenset()), ("runtime.in", pins.NOT_IN_IMAGES)],
)
def test_inputs_are_what_the_packages_ask_for(
    name: str, left_out: frozenset[str]
) -> None:
    """A dependency that a package names is in the inputs, and no other."""
    folders = [one for one in pins.packages(_ROOT) if one not in left_out]
    lines = (_FOLDER / name).read_text().splitlines()[1:]
    assert lines == pins.dependencies(_ROOT, folders), "run `make pins`"


def test_every_wish_is_pinned() -> None:
    """Each line of the inputs has an exact version in its pin file."""
    for inputs, output in (
        (("dev.in", "packages.in"), "dev.txt"),
        (("runtime.in",), "runtime.txt"),
        (("fuzz.in",), "fuzz.txt"),
    ):
        lines = "".join((_FOLDER / name).read_text() for name in inputs).splitlines()
        wanted = {_name(line) for line in lines if not line.startswith("#")}
        assert wanted <= _pinned(output).keys(), "run `make pins`"


def test_images_get_the_versions_that_were_tested() -> None:
    """The pins of the images are a part of those of the tests."""
    assert _pinned("runtime.txt").items() <= _pinned("dev.txt").items()
