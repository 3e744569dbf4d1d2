"""Process settings from the environment."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tailring_runtime.settings import Settings, environment, misspelt


def test_settings_have_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without variables the defaults stand and nothing counts as written."""
    for name in ("CONFIG", "DRAIN_TIMEOUT_S", "HEALTH_ENDPOINT", "METRICS_ENDPOINT"):
        monkeypatch.delenv(f"TAILRING_{name}", raising=False)
    settings = Settings()
    assert settings.config == "/conf/config.yaml"
    assert settings.health_endpoint == "localhost:13133"
    assert settings.model_fields_set == set()


def test_settings_are_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each setting is a variable with the prefix TAILRING_."""
    monkeypatch.setenv("TAILRING_DRAIN_TIMEOUT_S", "3.5")
    monkeypatch.setenv("TAILRING_HEALTH_ENDPOINT", "")
    settings = Settings()
    assert settings.drain_timeout_s == 3.5
    assert settings.health_endpoint == ""
    assert {"drain_timeout_s", "health_endpoint"} <= settings.model_fields_set


def test_a_negative_drain_is_refused() -> None:
    """A drain cannot end before it begins."""
    with pytest.raises(ValidationError):
        Settings(drain_timeout_s=-1)


def test_every_setting_is_described() -> None:
    """Each setting says what it is, for the generated documentation."""
    assert all(field.description for field in Settings.model_fields.values())


def test_environment_is_the_one_of_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a variable holds now is what expansion will see."""
    monkeypatch.setenv("TAILRING_TEST_ONLY", "x")
    assert environment()["TAILRING_TEST_ONLY"] == "x"


def test_a_misspelt_setting_is_told() -> None:
    """A variable that is nearly a setting is named with the right one."""
    environ = {
        "TAILRING_DRAIN_TIMEOUT": "5",
        "TAILRING_CONFIG": "x",
        "TAILRING_ROUTER_SERVICE_HOST": "10.0.0.1",
        "TAILRING_ROUTER_PORT_4317_TCP": "tcp://10.0.0.1:4317",
        "PATH": "/bin",
    }
    assert misspelt(environ) == (
        "the variable TAILRING_DRAIN_TIMEOUT is ignored; did you mean"
        " TAILRING_DRAIN_TIMEOUT_S?",
    )
