"""What is written where a secret belongs stays out of what is said about it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import Field, SecretStr, ValidationError

from tailring_runtime.config import ConfigModel, Headers, Secret, Text


class Locked(ConfigModel):
    """A block with secrets in it."""

    token: Secret = Field(default=SecretStr(""))
    headers: Headers = Field(default_factory=dict)


class Around(ConfigModel):
    """A block around that."""

    inner: Locked = Field(default_factory=Locked)
    inners: dict[Text, Locked] = Field(default_factory=dict)


@pytest.mark.parametrize(
    "data",
    [
        {"inner": "hunter2"},
        {"inner": 4711},
        {"inner": {"token": 4711}},
        {"inner": {"token": ["hunter2"]}},
        {"inner": {"headers": "hunter2"}},
        {"inner": {"headers": ["hunter2"]}},
        {"inner": {"headers": {"name": ["hunter2"]}}},
        {"inner": {"headers": {"name": 4711}}},
        {"inners": "hunter2"},
        {"inners": {"a": "hunter2"}},
        {"inners": {"a": {"headers": "hunter2"}}},
    ],
    ids=str,
)
def test_no_message_repeats_a_secret(data: dict[str, Any]) -> None:
    """Whatever is written where a secret belongs, or around it, is not echoed."""
    with pytest.raises(ValidationError) as caught:
        Around.model_validate(data)
    said = [details["msg"] for details in caught.value.errors()]
    assert said
    assert not any("hunter2" in one or "4711" in one for one in said)
