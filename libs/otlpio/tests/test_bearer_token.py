"""bearertokenauth by itself; the doors that ask it are in test_auth."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tailring_otlpio import BearerTokenAuthConfig
from tailring_otlpio.bearer_token import BearerTokenAuth
from tailring_otlpio.errors import Unauthenticated
from tailring_runtime.config import Role
from tailring_runtime.errors import StartError
from tailring_runtime.metrics import Metrics
from tailring_testkit.virtual_time import virtual_time

WRONG = "provided authorization does not match expected scheme or token"


def auth(**keys: Any) -> BearerTokenAuth:
    """The extension with these keys."""
    config = BearerTokenAuthConfig.model_validate(keys)
    return BearerTokenAuth(config, metrics=Metrics(), name="bearertokenauth")


async def answer(extension: BearerTokenAuth, **headers: str) -> str:
    """What is said to a request with these headers; "" lets it in."""
    try:
        await extension.check(headers.get)
    except Unauthenticated as error:
        return f"{error.reason}: {error}"
    return ""


@virtual_time
async def test_a_token_is_checked_and_sent() -> None:
    """The header is the scheme and the token."""
    extension = auth(token="abc")
    assert extension.headers() == (("authorization", "Bearer abc"),)
    assert await answer(extension, authorization="Bearer abc") == ""


@pytest.mark.parametrize(
    "shown", ["Bearer abd", "Bearer ab", "bearer abc", "abc", "Basic abc", "é"]
)
async def test_another_token_is_wrong(shown: str) -> None:
    """What is not the scheme and a token, to the letter, is refused as upstream."""
    assert await answer(auth(token="abc"), authorization=shown) == f"wrong: {WRONG}"


async def test_no_token_is_missing() -> None:
    """Without the header the answer names it; an empty one is wrong, as upstream."""
    missing = "missing: missing or empty authorization header: Authorization"
    assert await answer(auth(token="abc")) == missing
    assert await answer(auth(token="abc"), authorization="") == f"wrong: {WRONG}"


@virtual_time
async def test_header_and_scheme_are_configurable() -> None:
    """Any header; without a scheme the token stands alone."""
    extension = auth(token="abc", header="X-Api-Key", scheme="")
    assert extension.headers() == (("x-api-key", "abc"),)
    assert await answer(extension, **{"x-api-key": "abc"}) == ""


@virtual_time
async def test_each_of_several_tokens_is_taken_and_the_first_is_sent() -> None:
    """With tokens, clients may have any of them."""
    extension = auth(tokens=["a", "b"])
    assert await answer(extension, authorization="Bearer a") == ""
    assert await answer(extension, authorization="Bearer b") == ""
    assert extension.headers() == (("authorization", "Bearer a"),)


@virtual_time
async def test_a_file_has_a_token_in_each_line(tmp_path: Path) -> None:
    """The first word of a line is a token, the others are a comment."""
    path = tmp_path / "tokens"
    path.write_text("\n  a  the first\nb\n\n")
    extension = auth(filename=str(path))
    await extension.start()
    assert await answer(extension, authorization="Bearer a") == ""
    assert await answer(extension, authorization="Bearer b") == ""
    assert extension.headers() == (("authorization", "Bearer a"),)


@virtual_time
async def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    """A second later the old token is wrong and the new one is good."""
    path = tmp_path / "token"
    path.write_text("old")
    extension = auth(filename=str(path))
    await extension.start()
    assert await answer(extension, authorization="Bearer old") == ""
    path.write_text("new-one")
    await asyncio.sleep(1)
    assert await answer(extension, authorization="Bearer old") == f"wrong: {WRONG}"
    assert extension.headers() == (("authorization", "Bearer new-one"),)


@pytest.mark.parametrize("spoiled", ["removed", "empty"])
@virtual_time
async def test_a_file_that_is_spoiled_leaves_the_tokens(
    tmp_path: Path, spoiled: str
) -> None:
    """Nobody is locked out, or let in, by a file that cannot be read."""
    path = tmp_path / "token"
    path.write_text("old")
    extension = auth(filename=str(path))
    await extension.start()
    if spoiled == "removed":
        path.unlink()
    else:
        path.write_text(" \n")
    await asyncio.sleep(1)
    assert await answer(extension, authorization="Bearer old") == ""
    assert await answer(extension, authorization="Bearer ") == f"wrong: {WRONG}"


async def test_a_missing_file_ends_the_start(tmp_path: Path) -> None:
    """The error names the key and the file."""
    path = tmp_path / "token"
    with pytest.raises(StartError) as caught:
        await auth(filename=str(path)).start()
    where = "extensions::bearertokenauth::filename"
    assert str(caught.value) == f"{where}: {path}: No such file or directory"


@virtual_time
async def test_a_file_may_come_later(tmp_path: Path) -> None:
    """With retry_on_failure nobody comes in until the file is there."""
    path = tmp_path / "token"
    extension = auth(
        filename=str(path), retry_on_failure={"enabled": True, "interval": "5s"}
    )
    await extension.start()
    assert extension.headers() == ()
    assert await answer(extension, authorization="Bearer ") == f"wrong: {WRONG}"
    path.write_text("late")
    await asyncio.sleep(6)
    assert await answer(extension, authorization="Bearer late") == ""
    await extension.terminate()


@virtual_time
async def test_a_start_can_wait_for_the_file(tmp_path: Path) -> None:
    """wait_for_token_file holds the start up until the tries are over."""
    retry = {"enabled": True, "interval": "5s", "max_retries": 2}
    extension = auth(
        filename=str(tmp_path / "token"),
        retry_on_failure=retry,
        wait_for_token_file=True,
    )
    began_s = asyncio.get_running_loop().time()
    with pytest.raises(StartError, match="No such file"):
        await extension.start()
    assert asyncio.get_running_loop().time() - began_s == 10


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "no bearer token provided"),
        ({"token": "a", "tokens": ["b"]}, "either tokens or token"),
        ({"tokens": ["a", ""]}, "let everybody in"),
        ({"token": "a\nb"}, "no header can carry"),
        ({"token": "a", "header": ""}, "no name for a header"),
        ({"token": "a", "wait_for_token_file": True}, "require filename"),
        ({"filename": "x", "wait_for_token_file": True}, "requires retry_on_failure"),
        (
            {"filename": "x", "retry_on_failure": {"enabled": True}},
            "interval must be greater than 0",
        ),
    ],
)
def test_keys_that_make_no_sense(keys: dict[str, Any], message: str) -> None:
    """What cannot work is refused, in upstream's words where it has some."""
    with pytest.raises(ValidationError, match=message):
        BearerTokenAuthConfig.model_validate(keys)


def test_both_sides_may_name_it() -> None:
    """Receivers and exporters can use it."""
    config = BearerTokenAuthConfig.model_validate({"token": "a"})
    assert set(config.roles()) == {Role.SERVER_AUTH, Role.CLIENT_AUTH}


def test_written_tokens_beside_a_file_are_told() -> None:
    """The file wins, with a warning."""
    config = BearerTokenAuthConfig.model_validate({"filename": "x", "token": "a"})
    assert len(list(config.advice())) == 1


def test_tokens_are_in_no_text() -> None:
    """Neither configuration nor extension shows a token."""
    config = BearerTokenAuthConfig.model_validate({"tokens": ["hunter2"]})
    extension = BearerTokenAuth(config, metrics=Metrics(), name="x")
    for shown in (repr(config), config.model_dump_json(), repr(extension)):
        assert "hunter2" not in shown


@pytest.mark.parametrize(
    "keys", [{"token": 271828}, {"tokens": [271828]}, {"tokens": {"a": 271828}}]
)
def test_a_token_of_the_wrong_type_is_not_repeated(keys: dict[str, Any]) -> None:
    """A number where a text belongs may well be the secret."""
    with pytest.raises(ValidationError) as caught:
        BearerTokenAuthConfig.model_validate(keys)
    assert not any("271828" in error["msg"] for error in caught.value.errors())


def test_one_text_stands_for_a_list_of_tokens() -> None:
    """Split at commas, as upstream."""
    config = BearerTokenAuthConfig.model_validate({"tokens": "a,b"})
    assert [one.get_secret_value() for one in config.tokens] == ["a", "b"]
