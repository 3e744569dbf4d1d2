"""Everything that is wrong with a load balancer is told in one round."""

from __future__ import annotations

import pytest

from tailring_router.components import registry
from tailring_runtime.config import ConfigError, load

FILE = """yaml:
receivers: {otlp: {protocols: {grpc: {max_connections: 0, endpoint: nowhere}}}}
exporters:
  load_balancing:
    routing_key: metric
    routing_attributes: [a]
    protocol:
      otlp:
        timeout: 5
        auth: {authenticator: bearertokenauth}
        tls: {insecure: true}
        sending_queue: {num_consumers: 0, queue_size: 0, sizer: pounds}
    resolver:
      static: {hostnames: []}
      dns: {hostname: a, colour: red}
  otelfile: {}
service:
  pipelines:
    traces: {receivers: [otlp], exporters: [load_balancing, otelfile]}
"""


@pytest.fixture(scope="module")
def problems() -> str:
    """What a router says of `FILE`, one problem a line."""
    with pytest.raises(ConfigError) as caught:
        load([FILE], environ={}, registry=registry())
    return str(caught.value)


@pytest.mark.parametrize(
    "told",
    [
        "max_connections: must be greater",
        "nowhere",
        "unsupported routing_key: metric",
        "routing_attributes can only be used",
        "timeout: the duration 5 has no unit",
        "credentials are sent with TLS only",
        "`num_consumers` must be positive",
        "`queue_size` must be positive",
        "sizer: expected",
        "only one resolver should be specified",
        "static",
        "colour: unknown key",
        "unknown exporter 'otelfile'",
    ],
)
def test_no_problem_hides_another(problems: str, told: str) -> None:
    """A problem is told beside those of the same key, block, component and file."""
    assert told in problems


def test_each_is_told_once(problems: str) -> None:
    """No problem is told twice."""
    lines = problems.splitlines()
    assert len(lines) == len(set(lines))
