"""What may stand in a `tls` block."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tailring_otlpio import OtlpExporterConfig, TlsClientConfig
from tailring_otlpio.tls_config import GrpcTlsServerConfig, TlsServerConfig

PAIR = {"cert_file": "a.crt", "key_file": "a.key"}


def client(**keys: Any) -> TlsClientConfig:
    """The `tls` of an exporter."""
    return TlsClientConfig.model_validate(keys)


@pytest.mark.parametrize(
    ("keys", "plaintext"),
    [
        ({}, False),
        ({"insecure": False}, False),
        ({"insecure": True}, True),
        ({"insecure": True, "ca_file": "x"}, False),
        ({"insecure": True, "ca_pem": "x"}, False),
        ({"insecure": True, **PAIR}, True),
    ],
)
def test_tls_is_on_unless_insecure_without_a_ca(
    keys: dict[str, Any], plaintext: bool
) -> None:
    """Upstream's rule, in both directions."""
    assert client(**keys).plaintext is plaintext


def test_no_block_is_tls() -> None:
    """An exporter whose file says nothing of TLS encrypts, as upstream."""
    assert not OtlpExporterConfig.model_validate({"endpoint": "x:1"}).plaintext


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"ca_file": "x", "ca_pem": "y"}, "either ca_file or ca_pem, not both"),
        (
            {**PAIR, "cert_pem": "y"},
            "either cert_file or cert_pem, not both",
        ),
        ({**PAIR, "key_pem": "y"}, "either key_file or key_pem, not both"),
        ({"cert_file": "x"}, "a certificate needs its key"),
        ({"key_pem": "x"}, "a certificate needs its key"),
        ({"min_version": "1.0"}, "TLS 1.0 is not spoken here"),
        ({"max_version": "1.1"}, "TLS 1.1 is not spoken here"),
        ({"min_version": "2"}, "expected '', '1.2' or '1.3'"),
        ({"min_version": "1.3", "max_version": "1.2"}, "cannot be greater"),
        ({"min_version": "1.3"}, "grpcio speaks TLS 1.2 and 1.3"),
        ({"max_version": "1.2"}, "grpcio speaks TLS 1.2 and 1.3"),
        ({"insecure_skip_verify": True}, "grpcio cannot leave the check"),
        ({"cipher_suites": ["x"]}, "no setting for one endpoint"),
        ({"include_insecure_cipher_suites": True}, "no setting for one endpoint"),
        ({"curve_preferences": ["P256"]}, "no setting for one endpoint"),
        ({"tpm": {"enabled": True}}, "not from a TPM"),
        ({"reload_interval": -1}, "greater than or equal to 0"),
        ({"ca_fil": "x"}, "unknown key"),
    ],
)
def test_keys_of_a_client_that_are_refused(keys: dict[str, Any], message: str) -> None:
    """What contradicts itself or cannot be done says so."""
    with pytest.raises(ValidationError, match=message):
        client(**keys)


@pytest.mark.parametrize(
    "keys",
    [
        {"min_version": "1.2", "max_version": "1.3"},
        {"cipher_suites": [], "curve_preferences": None, "tpm": {"enabled": False}},
        {"insecure": True, "insecure_skip_verify": True, "min_version": "1.3"},
        {"include_system_ca_certs_pool": True, "server_name_override": "x"},
    ],
)
def test_keys_of_a_client_that_are_taken(keys: dict[str, Any]) -> None:
    """What can be done, or means nothing, may stand there."""
    client(**keys)


def test_a_receiver_needs_a_certificate() -> None:
    """`tls` of a receiver without one is an error."""
    with pytest.raises(ValidationError, match="needs a certificate and its key"):
        TlsServerConfig.model_validate({"client_ca_file": "x"})


def test_versions_of_a_receiver() -> None:
    """HTTP can be told its versions, gRPC speaks 1.2 and 1.3."""
    keys = {**PAIR, "min_version": "1.3"}
    assert TlsServerConfig.model_validate(keys).min_version == "1.3"
    with pytest.raises(ValidationError, match="grpcio speaks TLS"):
        GrpcTlsServerConfig.model_validate(keys)
    GrpcTlsServerConfig.model_validate({**PAIR, "min_version": "1.2"})


def test_a_ca_that_nobody_is_checked_against_is_told() -> None:
    """ca_file at a receiver means nothing, with a warning."""
    config = TlsServerConfig.model_validate({**PAIR, "ca_file": "x"})
    assert len(list(config.advice())) == 1
    assert not list(TlsServerConfig.model_validate(PAIR).advice())
