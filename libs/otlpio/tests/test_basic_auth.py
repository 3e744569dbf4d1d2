"""basicauth by itself; the doors that ask it are in test_auth."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from pydantic import ValidationError

from tailring_otlpio import BasicAuthConfig
from tailring_otlpio.basic_auth import BasicClientAuth, BasicServerAuth, basic_auth
from tailring_otlpio.errors import Unauthenticated
from tailring_pipeline import Refused
from tailring_runtime.config import Role
from tailring_runtime.errors import StartError
from tailring_runtime.metrics import Metrics
from tailring_testkit.virtual_time import virtual_time

CHECKS = "tailring_auth_password_checks"


def hashed(password: str, *, rounds: int = 4) -> str:
    """A bcrypt hash that costs little."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds)).decode()


def basic(name: str, password: str) -> str:
    """The header of a client."""
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


@asynccontextmanager
async def server(
    metrics: Metrics | None = None, **htpasswd: str
) -> AsyncIterator[BasicServerAuth]:
    """A started extension of a receiver."""
    config = BasicAuthConfig.model_validate({"htpasswd": htpasswd})
    made = basic_auth(config, metrics=metrics or Metrics(), name="basicauth")
    assert isinstance(made, BasicServerAuth)
    await made.start()
    try:
        yield made
    finally:
        await made.terminate()


async def answer(extension: BasicServerAuth, header: str | None) -> str:
    """What is said to a request with this header; "" lets it in."""
    try:
        await extension.check({"authorization": header}.get)
    except Unauthenticated as error:
        return f"{error.reason}: {error}"
    return ""


@pytest.mark.parametrize(
    "line",
    [
        "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
        "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
        "$apr1$US9nlkV.$yfc40fCM/IZ6pc9gSfz6J1",
        "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
        "{SSHA}ZYKqqjx0cPzLZo1onrVA6mbrOQqTMmYM",
        "$5$rounds=1000$abcdefgh$XIppta5rT8zJUu4vAOKQXrwq9uY4Ijlz6VjyOmkx5i4",
        "$6$rounds=1000$abcdefgh$nhYjN017qxiYztzyUpZtPnUQcnLy62KsunSL"
        "HNeLahp2EHPlAKmFFlrjEwSXGo2kgY5hR2.peKEg2VGUqIJJu1",
        "secret",
    ],
)
async def test_hashes_of_htpasswd(line: str) -> None:
    """Every kind that htpasswd and upstream know."""
    async with server(inline=f"ann:{line}") as extension:
        assert await answer(extension, basic("ann", "secret")) == ""
        assert await answer(extension, basic("ann", "Secret")) != ""


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (None, "missing: no basic auth provided"),
        ("", "missing: no basic auth provided"),
        ("Bearer x", "malformed: invalid authorization scheme prefix"),
        ("Basic ?", "malformed: invalid authorization format"),
        ("Basic YW5u", "malformed: invalid authorization format"),
        ("Basic /w==", "malformed: invalid authorization format"),
        (basic("ann", "wrong"), "wrong: invalid credentials"),
        (basic("bob", "secret"), "wrong: invalid credentials"),
        (basic("ann", ""), "wrong: invalid credentials"),
        (basic("ann", "x" * 100), "wrong: invalid credentials"),
        (basic("ann", "secret\0"), "wrong: invalid credentials"),
    ],
)
async def test_who_is_not_known_is_told_in_upstreams_words(
    header: str | None, said: str
) -> None:
    """Each way of not being known has its words and its reason."""
    async with server(inline=f"ann:{hashed('secret')}") as extension:
        assert await answer(extension, header) == said


async def test_the_scheme_may_be_in_any_case() -> None:
    """ "basic" is "Basic", as upstream."""
    async with server(inline="ann:secret") as extension:
        header = basic("ann", "secret").replace("Basic", "bAsIc")
        assert await answer(extension, header) == ""


async def test_who_was_right_is_known_without_a_check() -> None:
    """The second request with a password costs no comparison; a wrong one does."""
    metrics = Metrics()
    async with server(metrics, inline=f"ann:{hashed('secret')}") as extension:
        for _ in range(5):
            assert await answer(extension, basic("ann", "secret")) == ""
        assert metrics.value(CHECKS) == 1
        await answer(extension, basic("ann", "wrong"))
        await answer(extension, basic("ann", "wrong"))
        assert metrics.value(CHECKS) == 3


async def test_inline_lines_win_over_those_of_the_file(tmp_path: Path) -> None:
    """A name in both has the password that is written in the configuration."""
    path = tmp_path / "htpasswd"
    path.write_text("ann:file\nbob:file\n")
    async with server(file=str(path), inline="ann:inline") as extension:
        assert await answer(extension, basic("ann", "inline")) == ""
        assert await answer(extension, basic("bob", "file")) == ""
        assert await answer(extension, basic("ann", "file")) != ""


async def test_a_new_file_forgets_who_was_known(tmp_path: Path) -> None:
    """Whoever was taken out of the file is not let in from memory."""
    path = tmp_path / "htpasswd"
    path.write_text("ann:secret\n")
    async with server(file=str(path)) as extension:
        assert await answer(extension, basic("ann", "secret")) == ""
        path.write_text("bob:secret\n")
        await asyncio.sleep(1.1)
        assert await answer(extension, basic("ann", "secret")) != ""


async def test_a_list_without_anybody_ends_the_start(tmp_path: Path) -> None:
    """It would lock everybody out."""
    path = tmp_path / "htpasswd"
    path.write_text("# nobody\n")
    with pytest.raises(StartError, match="nobody is in it"):
        async with server(file=str(path)):
            pass


async def test_a_missing_list_ends_the_start(tmp_path: Path) -> None:
    """The error names the key and the file."""
    path = tmp_path / "htpasswd"
    with pytest.raises(StartError, match=r"htpasswd::file: .*htpasswd: No such"):
        async with server(file=str(path)):
            pass


async def test_guessing_is_slow_and_bounded() -> None:
    """Of many wrong passwords at once a few are checked, the others refused; whoever
    is known meanwhile is let in at once."""
    metrics = Metrics()
    inline = f"ann:{hashed('secret', rounds=8)}"
    async with server(metrics, inline=inline) as extension:
        assert await answer(extension, basic("ann", "secret")) == ""
        async with asyncio.TaskGroup() as group:
            guesses = [
                group.create_task(_guess(extension, f"guess {number}"))
                for number in range(100)
            ]
            await asyncio.sleep(0.05)
            async with asyncio.timeout(0.1):
                assert await answer(extension, basic("ann", "secret")) == ""
        said = [guess.result() for guess in guesses]
        assert said.count("refused") == 84
        assert said.count("wrong: invalid credentials") == 16
        assert metrics.value(CHECKS) == 17


async def _guess(extension: BasicServerAuth, password: str) -> str:
    try:
        return await answer(extension, basic("ann", password))
    except Refused:
        return "refused"


@virtual_time
async def test_a_client_sends_name_and_password(tmp_path: Path) -> None:
    """Written, or from files that are read again and win."""
    path = tmp_path / "password"
    path.write_text("old\n")
    keys = {"username": "ann", "password": "x", "password_file": str(path)}
    config = BasicAuthConfig.model_validate({"client_auth": keys})
    made = basic_auth(config, metrics=Metrics(), name="basicauth")
    assert isinstance(made, BasicClientAuth)
    await made.start()
    assert made.headers() == (("authorization", basic("ann", "old")),)
    path.write_text("newer")
    await asyncio.sleep(1)
    assert made.headers() == (("authorization", basic("ann", "newer")),)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "no credential source provided"),
        ({"htpasswd": {}}, "no credential source provided"),
        (
            {"htpasswd": {"inline": "a:b"}, "client_auth": {"username": "a"}},
            "only one of `htpasswd` or `client_auth`",
        ),
        ({"client_auth": {"username": "a:b"}}, "no colon"),
    ],
)
def test_keys_that_make_no_sense(keys: dict[str, Any], message: str) -> None:
    """What cannot work is refused, in upstream's words where it has some."""
    with pytest.raises(ValidationError, match=message):
        BasicAuthConfig.model_validate(keys)


def test_each_side_has_its_keys() -> None:
    """htpasswd is for receivers, client_auth for exporters."""
    receiver = BasicAuthConfig.model_validate({"htpasswd": {"inline": "a:b"}})
    exporter = BasicAuthConfig.model_validate({"client_auth": {"username": "a"}})
    assert list(receiver.roles()) == [Role.SERVER_AUTH]
    assert list(exporter.roles()) == [Role.CLIENT_AUTH]


def test_passwords_are_in_no_text() -> None:
    """Neither a hash nor a password is shown."""
    for keys in (
        {"htpasswd": {"inline": "ann:hunter2"}},
        {"client_auth": {"username": "ann", "password": "hunter2"}},
    ):
        config = BasicAuthConfig.model_validate(keys)
        assert "hunter2" not in repr(config)
        assert "hunter2" not in config.model_dump_json()
