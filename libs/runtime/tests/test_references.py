"""Keys that name an extension."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from tailring_runtime.config import (
    ComponentId,
    ComponentType,
    ConfigError,
    ConfigModel,
    Loaded,
    Registry,
    Role,
    ServerAuthenticator,
    StorageExtension,
    describe,
    load,
    redacted,
)


class Auth(ConfigModel):
    """A block with a key that must name something."""

    authenticator: ServerAuthenticator


class Door(ConfigModel):
    """A receiver that may ask an extension."""

    auth: Auth | None = None


class Out(ConfigModel):
    """An exporter that may store."""

    storage: StorageExtension = None


class Guard(ConfigModel):
    """An extension that can check clients."""

    def roles(self) -> Collection[Role]:
        """What it is good for."""
        return (Role.SERVER_AUTH,)


REGISTRY = Registry(
    "tailring-router",
    (
        ComponentType("receiver", "otlp", Door),
        ComponentType("exporter", "debug", Out),
        ComponentType("extension", "guard", Guard),
    ),
)


def read(text: str) -> Loaded:
    return load(["env:CONF"], environ={"CONF": text}, registry=REGISTRY)


def config(*, named: str, extensions: str, listed: str, storage: str = "") -> str:
    return f"""
receivers: {{otlp: {{auth: {{authenticator: {named}}}}}}}
exporters: {{debug: {{storage: {storage}}}}}
extensions: {extensions}
service:
  extensions: {listed}
  pipelines:
    traces: {{receivers: [otlp], exporters: [debug]}}
"""


def test_a_name_that_is_listed_is_an_id() -> None:
    """A key that names an extension in use is its id, and nothing is said."""
    text = config(named="guard/1", extensions="{guard/1: }", listed="[guard/1]")
    loaded = read(text)
    door = loaded.config.receivers[ComponentId("otlp")]
    assert isinstance(door, Door)
    assert door.auth == Auth(authenticator=ComponentId("guard", "1"))
    assert loaded.warnings == ()


def test_an_id_is_shown_as_it_was_written() -> None:
    """The effective configuration has the id as text."""
    text = config(named="guard/1", extensions="{guard/1: }", listed="[guard/1]")
    shown = redacted(read(text).config)
    assert shown["receivers"]["otlp"] == {"auth": {"authenticator": "guard/1"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            config(named="gard", extensions="{guard: }", listed="[guard]"),
            "receivers::otlp::auth::authenticator: references the extension 'gard',"
            " which is not defined; did you mean 'guard'?",
        ),
        (
            config(named="guard", extensions="{guard: }", listed="[]"),
            "receivers::otlp::auth::authenticator: references the extension 'guard',"
            " which is not in use; list it in service::extensions",
        ),
        (
            config(
                named="guard",
                extensions="{guard: }",
                listed="[guard]",
                storage="guard",
            ),
            "exporters::debug::storage: the extension guard, as it is configured, does"
            " not keep data on disk",
        ),
        (
            config(named="a/b/", extensions="{guard: }", listed="[guard]"),
            "receivers::otlp::auth::authenticator: references the extension 'a/b/',"
            " which is not defined",
        ),
        (
            config(named="5", extensions="{guard: }", listed="[guard]"),
            "receivers::otlp::auth::authenticator: expected the name of an extension,"
            " got the number 5",
        ),
        (
            config(named="'/x'", extensions="{guard: }", listed="[guard]"),
            "receivers::otlp::auth::authenticator: in '/x' id: the part before / should"
            " not be empty",
        ),
    ],
)
def test_a_name_that_leads_nowhere_is_a_problem(text: str, message: str) -> None:
    """One problem with the key path says what is missing, and warns of nothing."""
    with pytest.raises(ConfigError) as caught:
        read(text)
    (problem,) = caught.value.problems
    assert str(problem).split(": ", 1)[1] == message


def test_an_extension_with_problems_of_its_own_is_no_second_problem() -> None:
    """What names a broken extension is not told about."""
    text = config(named="guard", extensions="{guard: {x: 1}}", listed="[guard]")
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert [one.path for one in caught.value.problems] == ["extensions::guard::x"]


def test_the_reference_calls_it_an_extension() -> None:
    """The table of keys names the type."""
    rows = {row.path: row.type for row in (*describe(Door), *describe(Out))}
    assert rows["auth.authenticator"] == rows["storage"] == "extension"
