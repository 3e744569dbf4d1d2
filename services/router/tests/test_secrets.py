"""What is secret in a file is in nothing that is shown of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tailring_router.components import registry
from tailring_runtime.config import ConfigError, load, redacted

SECRET = "hunter2"
CONFIG = {
    "receivers": {
        "otlp": {
            "protocols": {
                "grpc": {
                    "tls": {"cert_pem": SECRET, "key_pem": SECRET},
                    "auth": {"authenticator": "bearertokenauth"},
                },
                "http": {
                    "response_headers": {"x-secret": SECRET},
                    "auth": {"authenticator": "basicauth/server"},
                },
            }
        }
    },
    "exporters": {
        "loadbalancing": {
            "resolver": {"static": {"hostnames": ["a"]}},
            "protocol": {
                "otlp": {
                    "headers": {"authorization": SECRET},
                    "tls": {"ca_pem": SECRET, "cert_pem": SECRET, "key_pem": SECRET},
                    "auth": {"authenticator": "basicauth/client"},
                }
            },
        }
    },
    "extensions": {
        "bearertokenauth": {"tokens": [SECRET, f"{SECRET}b"]},
        "bearertokenauth/one": {"token": SECRET},
        "basicauth/server": {"htpasswd": {"inline": f"ann:{SECRET}"}},
        "basicauth/client": {"client_auth": {"username": "ann", "password": SECRET}},
    },
    "service": {
        "extensions": [
            "bearertokenauth",
            "bearertokenauth/one",
            "basicauth/server",
            "basicauth/client",
        ],
        "pipelines": {
            "traces": {"receivers": ["otlp"], "exporters": ["loadbalancing"]}
        },
    },
}


def test_the_effective_configuration_shows_no_secret(tmp_path: Path) -> None:
    """`config` prints stars, and keeps what is no secret."""
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    config = load([str(path)], environ={}, registry=registry()).config
    shown = json.dumps(redacted(config))
    assert SECRET not in shown
    assert '"username": "ann"' in shown
    assert '"authenticator": "bearertokenauth"' in shown
    assert SECRET not in repr(config)


def test_problems_of_a_file_repeat_no_secret(tmp_path: Path) -> None:
    """A file that is refused is told about without what it hides."""
    broken = json.loads(json.dumps(CONFIG))
    broken["extensions"]["bearertokenauth"]["token"] = SECRET
    broken["extensions"]["basicauth/client"]["client_auth"]["pasword"] = SECRET
    broken["exporters"]["loadbalancing"]["protocol"]["otlp"]["tls"]["ca_file"] = "x"
    broken["receivers"]["otlp"]["protocols"]["grpc"]["tls"]["key_pem"] = [SECRET]
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(broken))
    with pytest.raises(ConfigError) as caught:
        load([str(path)], environ={}, registry=registry())
    assert len(caught.value.problems) == 4
    assert SECRET not in str(caught.value)
