"""Whether two blocks mean the same."""

from __future__ import annotations

from tailring_runtime.config import ConfigModel, Int, Secret, Text, same


class Inner(ConfigModel):
    number: Int = 1
    token: Secret | None = None


class Outer(ConfigModel):
    name: Text = ""
    inner: Inner = Inner()
    more: tuple[Inner, ...] = ()


def outer(**keys: object) -> Outer:
    return Outer.model_validate(keys)


def test_blocks_read_from_equal_files_are_the_same() -> None:
    """Nested blocks, lists and secrets are compared by what they hold."""
    keys = {"inner": {"token": "t"}, "more": [{"number": 2}]}
    assert same(outer(**keys), outer(**keys))


def test_any_difference_counts() -> None:
    """A value, a secret and an element of a list each make another block."""
    base = {"inner": {"token": "t"}, "more": [{"number": 2}]}
    assert not same(outer(**base), outer(**base | {"name": "x"}))
    assert not same(outer(**base), outer(**base | {"inner": {"token": "u"}}))
    assert not same(outer(**base), outer(**base | {"more": [{"number": 3}]}))
    assert not same(outer(**base), outer(**base | {"more": []}))


def test_a_default_that_is_written_is_another_block() -> None:
    """Some defaults mean more when they are written down."""
    assert not same(outer(), outer(inner={"number": 1}))
