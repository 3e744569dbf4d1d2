"""Which endpoints a client takes."""

from __future__ import annotations

import pytest

from tailring_otlpio import grpc_target


@pytest.mark.parametrize(
    ("endpoint", "target"),
    [
        ("jaeger:4317", "jaeger:4317"),
        ("10.0.0.1:4317", "10.0.0.1:4317"),
        ("[::1]:4317", "[::1]:4317"),
        ("http://jaeger:4317", "jaeger:4317"),
        ("http://[::1]:4317/", "[::1]:4317"),
        ("https://jaeger:4317", "jaeger:4317"),
        ("passthrough:///jaeger:4317", "jaeger:4317"),
        ("dns:///jaeger:4317", "dns:///jaeger:4317"),
        ("dns:jaeger:4317", "dns:jaeger:4317"),
        ("dns://1.1.1.1/jaeger:4317", "dns://1.1.1.1/jaeger:4317"),
        ("unix:/run/otlp.sock", "unix:/run/otlp.sock"),
    ],
)
def test_targets(endpoint: str, target: str) -> None:
    """Each form that upstream takes is dialled as grpcio wants it."""
    assert grpc_target(endpoint) == target


@pytest.mark.parametrize(
    ("endpoint", "problem"),
    [
        ("", 'requires a non-empty "endpoint"'),
        ("jaeger", "missing port"),
        ("http://jaeger", "missing port"),
        ("dns:///jaeger", "missing port"),
        (":4317", "missing host"),
        ("jaeger:0", "invalid port"),
        ("jaeger:http", "invalid port"),
        ("::1:4317", "too many colons"),
        ("https://jaeger", "missing port"),
        ("http://hunter2@jaeger:1", "address jaeger:1: a user name"),
        ("https://me:hunter2@jaeger:1", "address jaeger:1: too many colons"),
    ],
)
def test_endpoints_that_cannot_be_dialled(endpoint: str, problem: str) -> None:
    """What cannot work is refused with the reason."""
    with pytest.raises(ValueError, match=problem):
        grpc_target(endpoint)
