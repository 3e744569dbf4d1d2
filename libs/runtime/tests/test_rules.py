"""Rules of several keys, asked whatever else is wrong with the block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest
from pydantic import ValidationError, model_validator

from tailring_runtime.config import ConfigModel, Int, Text, rule


class Box(ConfigModel):
    """A block with rules."""

    width: Int
    height: Int = 1
    label: Text = ""

    @classmethod
    def clashes(cls, written: Mapping[str, Any]) -> Iterable[str]:
        """A label and a height."""
        if written.keys() >= {"label", "height"}:
            yield "label and height"

    @rule
    def _flat(self) -> Iterator[str | tuple[str, str]]:
        if self.height > 10:
            yield "height", "too high"
        if self.width > 10:
            yield "too wide"

    @rule
    def _square(self) -> Iterable[str]:
        if self.label == "{square}":
            raise ValueError("no {square}")
        return ()


class OldBox(Box):
    """A block that has a validator of pydantic's as well."""

    @model_validator(mode="after")
    def _check(self) -> OldBox:
        assert self.width < 100
        return self


def told(model: type[ConfigModel], **keys: object) -> set[tuple[str, str]]:
    """The problems of a block by key."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(keys)
    errors = caught.value.errors()
    return {(".".join(map(str, one["loc"])), one["msg"]) for one in errors}


def test_every_broken_rule_is_told() -> None:
    """Of a block without wrong keys all complaints of all rules are told."""
    assert told(Box, width=20, height=20, label="{square}") == {
        ("", "label and height"),
        ("height", "too high"),
        ("", "too wide"),
        ("", "no {square}"),
    }


def test_a_wrong_key_hides_no_rule_about_others() -> None:
    """Beside a wrong key the rules that do not read it are asked."""
    assert told(Box, width="x", label="{square}") == {
        ("width", "expected a whole number, got the text 'x'"),
        ("", "no {square}"),
    }


def test_a_missing_key_hides_no_rule_about_others() -> None:
    """Beside a missing key the rules that do not read it are asked."""
    assert ("", "no {square}") in told(Box, label="{square}")


def test_a_rule_ends_at_a_wrong_key() -> None:
    """What a rule says before it reads a wrong key is told, the rest is not."""
    assert told(Box, width="x", height=20) == {
        ("width", "expected a whole number, got the text 'x'"),
        ("height", "too high"),
    }


def test_what_is_written_clashes_whatever_it_is() -> None:
    """Keys that exclude each other are told about although a value is wrong."""
    assert ("", "label and height") in told(Box, width=1, label=5, height=1)


def test_an_unknown_key_hides_no_rule() -> None:
    """Beside an unknown key all rules are asked."""
    assert ("", "too wide") in told(Box, width=20, colour=1)


def test_a_validator_of_the_whole_model_sees_no_partial_one() -> None:
    """A validator of pydantic's is never run on a block that misses fields."""
    assert told(OldBox, width="x") == {
        ("width", "expected a whole number, got the text 'x'")
    }
