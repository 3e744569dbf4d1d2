"""Names of components and the registry."""

from __future__ import annotations

import pytest

from tailring_runtime.config import (
    ComponentId,
    ComponentType,
    ConfigModel,
    Registry,
    nearest,
)


class Empty(ConfigModel):
    """A component without keys."""


OTLP = ComponentType("exporter", "otlp_grpc", Empty, aliases={"otlp"})
DEBUG = ComponentType("exporter", "debug", Empty, deprecated={"logging"})


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("otlp", "otlp", ""),
        ("otlp/2", "otlp", "2"),
        ("tail_sampling/a/b", "tail_sampling", "a/b"),
        (" otlp / x ", "otlp", "x"),
        ("otlp/ünï-cödé.7", "otlp", "ünï-cödé.7"),
        ("a" * 63, "a" * 63, ""),
    ],
)
def test_ids_are_read(text: str, kind: str, name: str) -> None:
    """An id is a type, or a type and a name behind the first slash."""
    assert ComponentId.parse(text) == ComponentId(kind, name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "id must not be empty"),
        ("/x", "the part before / should not be empty"),
        ("otlp/", "the part after / should not be empty"),
        ("9otlp", "invalid character"),
        ("ot-lp", "invalid character"),
        ("a" * 64, "invalid character"),
        ("otlp/a b", "invalid character"),
        ("otlp/a$b", "invalid character"),
        ("otlp/" + "x" * 1025, "longer than 1024"),
    ],
)
def test_bad_ids_are_refused(text: str, message: str) -> None:
    """What upstream's rules refuse is refused with the reason."""
    with pytest.raises(ValueError, match=message):
        ComponentId.parse(text)


@pytest.mark.parametrize("text", ["otlp", "otlp/2"])
def test_an_id_is_written_as_it_was_read(text: str) -> None:
    """The text of an id is what stood in the file."""
    assert str(ComponentId.parse(text)) == text


def test_every_spelling_finds_the_type() -> None:
    """A type is found by its name, its aliases and its former names."""
    registry = Registry("test", (OTLP, DEBUG))
    assert registry.find("exporter", "otlp") is OTLP
    assert registry.find("exporter", "otlp_grpc") is OTLP
    assert registry.find("exporter", "logging") is DEBUG
    assert registry.find("receiver", "otlp") is None


def test_former_names_are_not_offered() -> None:
    """The names that a registry offers leave out the deprecated ones."""
    registry = Registry("test", (OTLP, DEBUG))
    assert registry.names("exporter") == ("debug", "otlp", "otlp_grpc")


def test_one_name_belongs_to_one_type() -> None:
    """Two types of one kind cannot share a spelling."""
    other = ComponentType("exporter", "logging", Empty)
    with pytest.raises(ValueError, match="two exporters are called logging"):
        Registry("test", (DEBUG, other))


def test_refused_components_have_a_reason() -> None:
    """The registry says why a component is refused, and nothing of others."""
    registry = Registry("test", (), {("processor", "tail_sampling"): "elsewhere"})
    assert registry.reason("processor", "tail_sampling") == "elsewhere"
    assert registry.reason("exporter", "tail_sampling") == ""


def test_nearest_finds_the_typo_and_not_a_stranger() -> None:
    """The nearest word is offered only when it looks alike."""
    assert nearest("bathc", ["batch", "otlp"]) == "batch"
    assert nearest("kafka", ["batch", "otlp"]) == ""
