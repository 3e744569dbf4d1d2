"""Every key of the receiver and the exporter: honoured, or refused with a reason."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tailring_otlpio import (
    KeepaliveClientConfig,
    OtlpClientConfig,
    OtlpExporterConfig,
    OtlpReceiverConfig,
)
from tailring_pipeline import QueueConfig, RetryConfig, Signal

SECOND_NS = 1_000_000_000
MIB = 1 << 20


def receiver(**protocols: Any) -> OtlpReceiverConfig:
    """A receiver with these protocols."""
    return OtlpReceiverConfig.model_validate({"protocols": protocols})


def exporter(**keys: Any) -> OtlpExporterConfig:
    """An exporter with these keys."""
    return OtlpExporterConfig.model_validate({"endpoint": "jaeger:4317", **keys})


@pytest.mark.parametrize("value", [None, {}])
def test_a_protocol_that_is_named_is_served(value: object) -> None:
    """`grpc:` without a value and `grpc: {}` both serve it at upstream's endpoint."""
    config = receiver(grpc=value, http=value)
    assert config.grpc is not None
    assert config.http is not None
    assert config.grpc.endpoint == "localhost:4317"
    assert config.http.endpoint == "localhost:4318"


def test_a_protocol_that_is_not_named_is_not_served() -> None:
    """With grpc alone there is no HTTP server."""
    assert receiver(grpc=None).http is None


@pytest.mark.parametrize(
    "block", [{}, {"protocols": None}, {"protocols": {}}], ids=["none", "null", "empty"]
)
def test_a_receiver_needs_a_protocol(block: dict[str, Any]) -> None:
    """A receiver without protocols is refused in upstream's words."""
    with pytest.raises(ValidationError, match="must specify at least one protocol"):
        OtlpReceiverConfig.model_validate(block)


def test_limits_have_the_defaults_that_otlp_recommends() -> None:
    """Requests may be 64 MiB by default, and 0 stands for the default."""
    for size in ({}, {"max_recv_msg_size_mib": 0}):
        grpc = receiver(grpc=size).grpc
        assert grpc is not None
        assert grpc.request_bytes_max == 64 * MIB
    for size in ({}, {"max_request_body_size": 0}):
        http = receiver(http=size).http
        assert http is not None
        assert http.request_bytes_max == 64 * MIB


def test_limits_are_configurable() -> None:
    """max_recv_msg_size_mib counts MiB, max_request_body_size bytes."""
    config = receiver(
        grpc={"max_recv_msg_size_mib": 2}, http={"max_request_body_size": 1000}
    )
    assert config.grpc is not None
    assert config.http is not None
    assert (config.grpc.request_bytes_max, config.http.request_bytes_max) == (
        2 * MIB,
        1000,
    )


@pytest.mark.parametrize(
    ("protocol", "key", "reason"),
    [
        ("grpc", "middlewares", "no middleware"),
        ("grpc", "read_buffer_size", "grpcio"),
        ("grpc", "write_buffer_size", "grpcio"),
        ("http", "middlewares", "no middleware"),
        ("http", "profiles_url_path", "profiles are not received"),
        ("http", "write_timeout", "aiohttp"),
    ],
)
def test_receiver_keys_that_are_refused(protocol: str, key: str, reason: str) -> None:
    """A key of upstream's that is not honoured says why."""
    with pytest.raises(ValidationError, match=reason):
        receiver(**{protocol: {key: {}}})


@pytest.mark.parametrize(
    ("protocol", "block", "problem"),
    [
        ("grpc", {"endpoint": "4317"}, "missing port"),
        ("grpc", {"endpoint": "localhost:99999"}, "invalid port"),
        ("http", {"endpoint": "::1:4318"}, "too many colons"),
        ("grpc", {"transport": "udp"}, "tcp"),
        ("http", {"compression_algorithms": ["zstd"]}, "gzip"),
        ("http", {"endpoint": "", "transport": "unix"}, "needs a path"),
        ("grpc", {"max_recv_msg_size_mib": -1}, "greater than or equal to 0"),
        ("grpc", {"max_recv_msg_size_mib": "64"}, "whole number"),
        ("grpc", {"endpont": "localhost:4317"}, "unknown key"),
    ],
)
def test_receiver_values_that_are_refused(
    protocol: str, block: dict[str, Any], problem: str
) -> None:
    """A value that cannot work is refused with the reason."""
    with pytest.raises(ValidationError, match=problem):
        receiver(**{protocol: block})


@pytest.mark.parametrize("endpoint", ["0.0.0.0:4317", ":4317", "[::]:4317"])
def test_endpoints_of_all_interfaces(endpoint: str) -> None:
    """The usual ways to write all interfaces are taken."""
    assert receiver(grpc={"endpoint": endpoint}).grpc is not None


def test_exporter_defaults_are_upstreams() -> None:
    """gzip, 5s, a queue of 1000 with 10 consumers, retries of 5s to 30s within 5m."""
    config = exporter()
    assert config.compression == "gzip"
    assert config.timeout == 5 * SECOND_NS
    assert config.balancer_name == "round_robin"
    assert config.sending_queue == QueueConfig()
    assert config.retry_on_failure == RetryConfig()
    assert config.keepalive is None


def test_queue_is_another_spelling_of_sending_queue() -> None:
    """`queue` configures the sending queue."""
    assert exporter(queue={"queue_size": 7}).sending_queue.queue_size == 7


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("middlewares", [{"id": "x"}], "no middleware"),
        ("read_buffer_size", 1, "grpcio"),
        ("write_buffer_size", 1, "grpcio"),
        ("batcher", {}, "batch processor"),
        ("compression", "zstd", "cannot be sent by grpcio"),
        ("compression", "snappy", "cannot be sent by grpcio"),
        ("compression", "brotli", "gzip"),
        ("balancer_name", "least_request", "round_robin"),
        ("endpoint", "", 'requires a non-empty "endpoint"'),
        ("endpoint", "jaeger", "missing port"),
        ("headers", {"grpc-timeout": "1"}, "no name for a header"),
        ("headers", {"x": "é"}, "beyond ASCII"),
        ("headers", {"x": "a\nb"}, "beyond ASCII"),
        ("timeout", -1, "greater than or equal to 0"),
        ("storage", "x", "unknown key"),
    ],
)
def test_exporter_values_that_are_refused(key: str, value: object, reason: str) -> None:
    """What the exporter cannot do is refused with the reason."""
    with pytest.raises(ValidationError, match=reason):
        exporter(**{key: value})


def test_an_exporter_needs_an_endpoint() -> None:
    """Without an endpoint the exporter is refused in upstream's words."""
    with pytest.raises(ValidationError, match='requires a non-empty "endpoint"'):
        OtlpExporterConfig.model_validate({})


def test_header_values_are_secret() -> None:
    """A header's value stands in no text made of the configuration."""
    config = exporter(headers={"authorization": "Bearer hunter2"})
    assert "hunter2" not in repr(config)
    assert "hunter2" not in config.model_dump_json()


def test_keepalive_has_upstreams_defaults() -> None:
    """`keepalive: {}` pings every 10 s during calls."""
    config = OtlpClientConfig.model_validate({"keepalive": {}})
    assert config.keepalive == KeepaliveClientConfig(
        time=10 * SECOND_NS, timeout=10 * SECOND_NS, permit_without_stream=False
    )


@pytest.mark.parametrize("written", ["v1/traces", "/v1/traces"])
def test_the_slash_of_a_path_may_be_left_out(written: str) -> None:
    """A path begins with a slash, written or not, as upstream."""
    http = receiver(http={"traces_url_path": written}).http
    assert http is not None
    assert http.traces_url_path == "/v1/traces"


def test_each_signal_has_its_path() -> None:
    """The paths of logs and metrics are upstream's, and may be others."""
    http = receiver(http={"logs_url_path": "mine"}).http
    assert http is not None
    assert http.paths == {
        Signal.TRACES: "/v1/traces",
        Signal.METRICS: "/v1/metrics",
        Signal.LOGS: "/mine",
    }


def test_two_signals_have_two_paths() -> None:
    """One path for two signals could not tell which is meant."""
    with pytest.raises(ValidationError, match="the same as traces_url_path"):
        receiver(http={"logs_url_path": "v1/traces"})


def test_encodings_may_be_one_text() -> None:
    """A text is split at commas where a list of texts belongs, as upstream."""
    http = receiver(http={"compression_algorithms": "gzip,zlib"}).http
    assert http is not None
    assert http.compression_algorithms == ("gzip", "zlib")


@pytest.mark.parametrize(
    "block", [{"include_metadata": False}, {"middlewares": []}, {"tls": None}]
)
def test_keys_of_a_receiver_that_switch_nothing_on(block: dict[str, Any]) -> None:
    """What is not there may be written as off."""
    assert receiver(grpc=block, http=block) == receiver(grpc=None, http=None)


@pytest.mark.parametrize(
    "tls",
    [
        {"insecure_skip_verify": True, "server_name_override": "jaeger"},
        {"ca_file": "", "cert_file": None, "include_system_ca_certs_pool": False},
    ],
)
def test_plaintext_makes_other_keys_of_tls_void(tls: dict[str, Any]) -> None:
    """Keys that mean nothing beside insecure: true may stand there, as upstream."""
    assert exporter(tls={"insecure": True, **tls}).plaintext


def test_keepalive_of_http_has_two_spellings() -> None:
    """The newer block says the same as the two older keys; not both at once."""
    keys = {"enabled": False, "idle_timeout": 7 * SECOND_NS}
    newer = receiver(http={"keepalive": keys}).http
    older = receiver(
        http={"keep_alives_enabled": False, "idle_timeout": 7 * SECOND_NS}
    ).http
    assert newer is not None
    assert older is not None
    assert newer.kept_open == older.kept_open
    with pytest.raises(ValidationError, match="alongside keepalive"):
        receiver(http={"keepalive": keys, "idle_timeout": SECOND_NS})
