"""Models: strict, frozen, and helpful when they refuse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field, ValidationError

from tailring_runtime.config import (
    NULL_IS_EMPTY,
    Bool,
    ConfigModel,
    Duration,
    Expanded,
    Float,
    Headers,
    Int,
    KeyRow,
    Port,
    PortText,
    Secret,
    Text,
    TextList,
    describe,
)
from tailring_runtime.config.types import FROM_FILE


class Inner(ConfigModel):
    """A nested block."""

    refused: ClassVar[Mapping[str, str]] = {
        "storage": "no storage in this version",
        "shared": "nothing is shared in this version",
        "batch": "no batches in this version",
    }
    harmless: ClassVar[Mapping[str, tuple[object, ...]]] = {
        "shared": (None, False),
        "batch": (),
    }
    size: Int = Field(default=3, ge=0, description="How many.")


class Outer(ConfigModel):
    """A block with one field of each kind."""

    spellings: ClassVar[Mapping[str, str]] = {"queue": "inner"}

    flag: Bool = False
    factor: Float = 0.5
    port: Port = 0
    port_text: PortText = ""
    timeout: Duration = Field(default=5_000_000_000, ge=0)
    name: Text = "none"
    names: TextList = ()
    token: Secret | None = None
    headers: Headers = Field(default_factory=dict)
    choice: Literal["a", "b"] = "a"
    inner: Inner = Field(default_factory=Inner)
    present: Annotated[Inner | None, NULL_IS_EMPTY] = None
    inners: tuple[Inner, ...] = ()
    by_name: dict[Text, Inner] = Field(default_factory=dict)
    when: Text = Field(default="", alias="if")


def read(tree: Any) -> Outer:
    return Outer.model_validate(tree, context=dict(FROM_FILE))


def faults(tree: Any) -> dict[tuple[int | str, ...], str]:
    with pytest.raises(ValidationError) as caught:
        read(tree)
    return {details["loc"]: details["msg"] for details in caught.value.errors()}


@pytest.mark.parametrize(
    ("key", "written", "value"),
    [
        ("flag", True, True),
        ("factor", 1, 1.0),
        ("port", 4317, 4317),
        ("port", 10.0, 10),
        ("port_text", 4317, "4317"),
        ("port_text", "4317", "4317"),
        ("port_text", "", ""),
        ("timeout", "1m", 60_000_000_000),
        ("timeout", 0, 0),
        ("name", "x", "x"),
        ("names", ["a", "b"], ("a", "b")),
        ("names", "a", ("a",)),
        ("names", "a,b", ("a", "b")),
        ("names", "", ()),
        ("choice", "b", "b"),
        ("inner", {"size": 7}, Inner(size=7)),
        ("inners", [{"size": 1}, {}], (Inner(size=1), Inner())),
        ("by_name", {"k": {}}, {"k": Inner()}),
    ],
)
def test_values_of_the_right_kind_are_taken(
    key: str, written: object, value: object
) -> None:
    """Each type takes what upstream takes, and keeps it in its own form."""
    assert getattr(read({key: written}), key) == value


@pytest.mark.parametrize(
    ("key", "written", "message"),
    [
        ("flag", "true", "expected true or false, got the text 'true'"),
        ("flag", 1, "expected true or false, got the number 1"),
        ("factor", "1", "expected a number, got the text '1'"),
        ("factor", True, "expected a number, got true"),
        ("port", "4317", "expected a whole number, got the text '4317'"),
        ("port", True, "expected a whole number, got true"),
        ("port", 1.5, "expected a whole number, got the number 1.5"),
        ("port", 65536, "must be less than or equal to 65535"),
        ("port_text", 70000, "'70000' is not a port"),
        ("port_text", "http", "'http' is not a port"),
        ("port_text", True, "expected a port, got true"),
        ("timeout", True, "expected a duration such as 5s, got true"),
        ("timeout", "-1s", "must be greater than or equal to 0"),
        ("name", 5, "expected text, got the number 5; put it in quotes"),
        ("name", ["x"], "expected text, got a list"),
        ("names", 5, "expected a list of texts, got the number 5"),
        ("names", [5], "expected text, got the number 5; put it in quotes"),
        ("token", 5, "expected text, got a number; put it in quotes"),
        ("choice", "c", "expected 'a' or 'b', got the text 'c'"),
        ("inner", [], "expected a map of keys, got a list"),
        ("inner", "x", "expected a map of keys, got the text 'x'"),
    ],
)
def test_values_of_the_wrong_kind_are_refused(
    key: str, written: object, message: str
) -> None:
    """No type takes a value that only looks like one of its own."""
    assert faults({key: written}) == {(key,): message}


def test_a_bare_number_in_a_file_is_no_duration() -> None:
    """A number without a unit is refused with both readings it could have had."""
    message = faults({"timeout": 10})[("timeout",)]
    assert "write 10s or 10ms (upstream reads 10 nanoseconds)" in message


def test_a_number_in_code_is_nanoseconds() -> None:
    """Code that makes a model passes nanoseconds."""
    assert Outer(timeout=10).timeout == 10


@pytest.mark.parametrize(
    ("key", "text", "retyped", "value"),
    [
        ("port", "4317", 4317, 4317),
        ("flag", "true", True, True),
        ("factor", "2", 2, 2.0),
        ("name", "0123", 83, "0123"),
        ("name", "", None, ""),
        ("token", "12", 12, "12"),
        ("timeout", "5s", "5s", 5_000_000_000),
        ("timeout", "0", 0, 0),
        ("port_text", "4317", 4317, "4317"),
        ("choice", "b", "b", "b"),
        ("names", "a", "a", ("a",)),
        ("names", "[a, b]", ["a", "b"], ("a", "b")),
        ("inner", "{size: 4}", {"size": 4}, Inner(size=4)),
        ("inners", "[{size: 4}]", [{"size": 4}], (Inner(size=4),)),
    ],
)
def test_an_expanded_scalar_fits_text_and_number(
    key: str, text: str, retyped: object, value: object
) -> None:
    """Text fields take the original text, all others what YAML makes of it."""
    found = getattr(read({key: Expanded(text, retyped)}), key)
    assert (found.get_secret_value() if key == "token" else found) == value


@pytest.mark.parametrize("key", ["port", "timeout", "inner", "choice", "names"])
def test_an_empty_variable_leaves_the_default(key: str) -> None:
    """An expansion to nothing is the same as a key without a value."""
    model = read({key: Expanded("", None)})
    assert getattr(model, key) == getattr(Outer(), key)
    assert model.model_fields_set == set()


def test_an_expanded_text_in_a_map_is_text() -> None:
    """Header values keep the text that stood in the environment."""
    model = read({"headers": {"x": Expanded("007", 7)}})
    assert model.headers["x"].get_secret_value() == "007"


def test_headers_may_be_a_list_of_pairs() -> None:
    """The newer form of headers is the same as the map."""
    model = read({"headers": [{"name": "a", "value": "b"}]})
    assert model.headers["a"].get_secret_value() == "b"


def test_a_bad_list_of_headers_is_refused() -> None:
    """A list of headers needs name and value in each item."""
    message = faults({"headers": [{"name": "a"}]})[("headers",)]
    assert message == "expected a map, or a list of {name, value}, got a list"


def test_null_is_the_same_as_absent() -> None:
    """A key without a value leaves the default and does not count as written."""
    model = read({"inner": None, "name": None, "timeout": None})
    assert model == Outer()
    assert model.model_fields_set == set()


def test_null_can_switch_a_block_on() -> None:
    """A block whose presence matters is switched on by its key alone."""
    assert read({}).present is None
    assert read({"present": None}).present == Inner()
    assert read({"present": {}}).present == Inner()


def test_what_is_written_is_known() -> None:
    """A written default can be told from an absent one."""
    assert read({"flag": False}).model_fields_set == {"flag"}


def test_unknown_key_names_its_neighbour() -> None:
    """A misspelt key is refused with the nearest valid one, at any depth."""
    with pytest.raises(ValidationError) as caught:
        read({"timeoutt": 1, "inner": {"sise": 1, "zzzzz": 1}})
    found = {d["loc"]: d["ctx"]["nearest"] for d in caught.value.errors()}
    assert found == {
        ("timeoutt",): "timeout",
        ("inner", "sise"): "size",
        ("inner", "zzzzz"): "",
    }


def test_a_refused_key_gives_its_reason() -> None:
    """A key of upstream's that is not honoured is refused with why."""
    assert faults({"inners": [{"storage": "x"}]}) == {
        ("inners", 0, "storage"): "no storage in this version"
    }


def test_all_problems_are_told_together() -> None:
    """Unknown, refused and wrong keys of several blocks are in one answer."""
    found = faults(
        {"flag": 1, "what": 1, "inner": {"size": -1, "storage": 1}, "name": 7}
    )
    assert set(found) == {
        ("flag",),
        ("what",),
        ("inner", "size"),
        ("inner", "storage"),
        ("name",),
    }


def test_another_spelling_is_the_same_key() -> None:
    """A second spelling fills the same field."""
    model = read({"queue": {"size": 9}})
    assert model.inner == Inner(size=9)
    assert model.model_fields_set == {"inner"}


@pytest.mark.parametrize("order", [("queue", "inner"), ("inner", "queue")])
def test_both_spellings_together_are_refused(order: tuple[str, str]) -> None:
    """Two spellings of one key at once are a problem in either order."""
    assert faults({key: {} for key in order}) == {
        ("queue",): "the same as inner, which is written too"
    }


def test_a_key_may_be_a_word_of_python() -> None:
    """A field with an alias is written by its alias and by nothing else."""
    assert read({"if": "x"}).when == "x"
    assert ("when",) in faults({"when": "x"})


def test_a_missing_required_key_is_told() -> None:
    """A key without a default must be written."""

    class Needy(ConfigModel):
        hostname: Text

    with pytest.raises(ValidationError, match="is required"):
        Needy.model_validate({"hostname": None})


def test_models_are_frozen() -> None:
    """A configuration cannot be changed after it was read."""
    with pytest.raises(ValidationError, match="frozen"):
        read({}).flag = True  # type: ignore[misc]


def test_dump_shows_durations_and_hides_secrets() -> None:
    """The JSON form of a model writes durations as text and secrets as stars."""
    dumped = read({"timeout": "90s", "token": "abc"}).model_dump(mode="json")
    assert dumped["timeout"] == "1m30s"
    assert set(dumped["token"]) == {"*"}


def test_a_model_passes_through_unchanged() -> None:
    """A model instance is accepted where its block is expected."""
    assert Outer(inner=Inner(size=8)).inner.size == 8


def test_describe_lists_every_key() -> None:
    """The documentation rows hold type, default, description and refusal."""
    rows = {row.path: row for row in describe(Outer)}
    assert rows["inner.size"] == KeyRow("inner.size", "integer", "3", "How many.")
    assert rows["timeout"].type == "duration"
    assert rows["timeout"].default == "5s"
    assert rows["choice"].type == "a | b"
    assert rows["names"].type == "list of text"
    assert rows["token"].default == "unset"
    assert rows["inners"].type == "list of map"
    assert rows["inners[].storage"].status == "refused"
    assert rows["present.size"].type == "integer"
    assert "if" in rows


@pytest.mark.parametrize(
    "block",
    [{"storage": None}, {"shared": False}, {"storage": Expanded("", None)}],
    ids=["null", "off", "empty variable"],
)
def test_a_refused_key_that_switches_nothing_on_is_taken(block: Any) -> None:
    """A key of what is not there may be written with the value that means off."""
    assert Inner.model_validate(block) == Inner()


@pytest.mark.parametrize(
    "block", [{"storage": ""}, {"shared": 0}, {"shared": True}, {"batch": None}]
)
def test_a_refused_key_that_means_something_is_refused(block: Any) -> None:
    """Another value is refused, and null where upstream switches on by it."""
    with pytest.raises(ValidationError, match="in this version"):
        Inner.model_validate(block)


def test_a_header_without_value_is_empty() -> None:
    """Null in a map of texts is empty text, as upstream."""
    assert read({"headers": {"x": None}}).headers["x"].get_secret_value() == ""


def test_a_choice_names_its_neighbour() -> None:
    """A misspelt choice is told with what it may be and the nearest of them."""

    class Choosing(ConfigModel):
        """One choice."""

        pace: Literal["slow", "quick"] = "slow"

    with pytest.raises(ValidationError) as caught:
        Choosing.model_validate({"pace": "quikc"})
    (details,) = caught.value.errors()
    assert details["msg"] == "expected 'slow' or 'quick', got the text 'quikc'"
    assert details["ctx"]["nearest"] == "quick"


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"inners": {"size": 1}}, "expected a list, got a map"),
        ({"by_name": [1]}, "expected a map, got a list"),
    ],
)
def test_a_map_is_no_list(block: Any, message: str) -> None:
    """Lists and maps in the place of the other are told in plain words."""
    with pytest.raises(ValidationError) as caught:
        read(block)
    assert [details["msg"] for details in caught.value.errors()] == [message]
