"""The effective configuration as it is shown: complete, readable, without secrets."""

from __future__ import annotations

import pytest
import yaml
from pydantic import Field

from tailring_runtime.config import (
    CollectorConfig,
    ComponentType,
    ConfigModel,
    Duration,
    Headers,
    Registry,
    Text,
    load,
    redacted,
)


class Part(ConfigModel):
    """Stands for every component."""

    endpoint: Text = ""
    timeout: Duration = Field(default=5_000_000_000, ge=0)
    headers: Headers = Field(default_factory=dict)
    labels: dict[Text, Text] = Field(default_factory=dict)
    password: Text = ""
    key_file: Text = ""
    urls: tuple[Text, ...] = ()
    when: Text = Field(default="", alias="if")


REGISTRY = Registry(
    "svc",
    (ComponentType("receiver", "otlp", Part), ComponentType("exporter", "nop", Part)),
)
PIPELINE = "{pipelines: {traces: {receivers: [otlp], exporters: [nop]}}}"


def read(otlp: str) -> CollectorConfig:
    text = f"receivers: {{otlp: {otlp}}}\nexporters: {{nop: }}\nservice: {PIPELINE}\n"
    return load(["env:C"], environ={"C": text}, registry=REGISTRY).config


@pytest.mark.parametrize(
    "otlp",
    [
        "{headers: {x: hunter2}}",
        "{password: hunter2}",
        "{labels: {Authorization: hunter2}}",
        "{labels: {my-API-key: hunter2, access_token: hunter2}}",
        "{endpoint: 'https://me:hunter2@host:1/path'}",
        "{urls: ['http://hunter2@host']}",
    ],
)
def test_secrets_are_hidden(otlp: str) -> None:
    """Header values, what is named like a secret and users of addresses are stars."""
    text = yaml.safe_dump(redacted(read(otlp)))
    assert "hunter2" not in text
    assert "**********" in text


def test_what_is_no_secret_is_shown() -> None:
    """The name of a key file, an empty password and an address stay readable."""
    shown = redacted(read("{key_file: /k.pem, endpoint: 'http://host:1', if: x}"))
    otlp = shown["receivers"]["otlp"]
    assert otlp["key_file"] == "/k.pem"
    assert otlp["password"] == ""
    assert otlp["endpoint"] == "http://host:1"
    assert otlp["if"] == "x"


def test_defaults_and_connections_are_shown() -> None:
    """Defaults are filled in, durations are readable, pipelines are as written."""
    shown = redacted(read(""))
    assert shown["receivers"]["otlp"]["timeout"] == "5s"
    assert shown["service"]["telemetry"]["logs"]["level"] == "info"
    assert shown["service"]["pipelines"] == {
        "traces": {"receivers": ["otlp"], "exporters": ["nop"]}
    }


def test_what_is_shown_is_a_configuration() -> None:
    """The shown text loads again and means the same, secrets apart."""
    config = read("{timeout: 90s, labels: {a: b}}")
    text = yaml.safe_dump(redacted(config))
    again = load(["env:C"], environ={"C": text}, registry=REGISTRY).config
    assert again == config
