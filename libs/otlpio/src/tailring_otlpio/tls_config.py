"""``tls`` of receivers and exporters as an operator writes it.

Keys and rules are upstream's configtls. What differs: files are read again when they
changed (`reload_interval`, a minute by default), and what the libraries below cannot do
is refused: versions before 1.2, cipher suites, curves, keys in a TPM.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, Final, Literal

from pydantic import Field, SecretStr, field_validator

from tailring_runtime.config import Bool, ConfigModel, Duration, Secret, Text, rule

__all__ = [
    "GrpcTlsServerConfig",
    "TlsClientConfig",
    "TlsConfig",
    "TlsServerConfig",
]

SECOND_NS: Final = 1_000_000_000

_NO_SUITES: Final = (
    "the TLS library chooses among its safe ones and has no setting for one endpoint"
)
_GRPC_VERSIONS: Final = (
    "grpcio speaks TLS 1.2 and 1.3, whichever the other side prefers, and has no"
    " setting for it"
)
_NO_SKIP: Final = (
    "grpcio cannot leave the check of a certificate out; give the backend's certificate"
    " or its CA as ca_file, and a name that it is for as server_name_override"
)
_BOTH: Final = "provide either {0}_file or {0}_pem, not both"
_EMPTY: Final = SecretStr("")


class TlsConfig(ConfigModel):
    """What clients and servers have in common."""

    refused: ClassVar[Mapping[str, str]] = {
        "cipher_suites": _NO_SUITES,
        "include_insecure_cipher_suites": _NO_SUITES,
        "curve_preferences": _NO_SUITES,
        "tpm": "keys are read from files or from the configuration, not from a TPM",
    }
    harmless: ClassVar[Mapping[str, tuple[object, ...]]] = {
        "cipher_suites": (None, []),
        "include_insecure_cipher_suites": (None, False),
        "curve_preferences": (None, []),
        "tpm": (None, {}, {"enabled": False}),
    }

    ca_file: Text = Field(
        default="",
        description="PEM of the CAs that the other side's certificate must be of; of a"
        " client: empty is those of the system.",
    )
    ca_pem: Secret = Field(default=_EMPTY, description="The same, written here.")
    cert_file: Text = Field(
        default="", description="PEM of the certificate to show, with its chain."
    )
    cert_pem: Secret = Field(default=_EMPTY, description="The same, written here.")
    key_file: Text = Field(default="", description="PEM of the certificate's key.")
    key_pem: Secret = Field(default=_EMPTY, description="The same, written here.")
    include_system_ca_certs_pool: Bool = Field(
        default=False, description="Trust the CAs of the system beside those given."
    )
    min_version: Literal["", "1.2", "1.3"] = Field(
        default="", description="Lowest version of TLS; empty: 1.2."
    )
    max_version: Literal["", "1.2", "1.3"] = Field(
        default="", description="Highest version of TLS; empty: the newest."
    )
    reload_interval: Duration = Field(
        default=60 * SECOND_NS,
        ge=0,
        description="How often files are looked at; what changed is read again and used"
        " for new connections. 0: never.",
    )

    @field_validator("min_version", "max_version", mode="before")
    @classmethod
    def _spoken(cls, value: object) -> object:
        if value in ("1.0", "1.1"):
            raise ValueError(f"TLS {value} is not spoken here; use 1.2 or 1.3")
        return value

    @rule
    def _given_once(self) -> Iterator[str]:
        for what in ("ca", "cert", "key"):
            pem: SecretStr = getattr(self, f"{what}_pem")
            if getattr(self, f"{what}_file") and pem.get_secret_value():
                yield _BOTH.format(what)

    @rule
    def _in_pairs(self) -> Iterator[str]:
        if self.has_cert != self.has_key:
            yield (
                "a certificate needs its key and a key its certificate: provide both"
                " (cert_file or cert_pem, key_file or key_pem)"
            )

    @rule
    def _versions_in_order(self) -> Iterator[str]:
        if self.min_version == "1.3" and self.max_version == "1.2":
            yield "min_version cannot be greater than max_version"

    @property
    def has_ca(self) -> bool:
        """Whether the CAs to trust are given."""
        return bool(self.ca_file or self.ca_pem.get_secret_value())

    @property
    def has_cert(self) -> bool:
        """Whether there is a certificate to show."""
        return bool(self.cert_file or self.cert_pem.get_secret_value())

    @property
    def has_key(self) -> bool:
        """Whether there is a key."""
        return bool(self.key_file or self.key_pem.get_secret_value())


class TlsClientConfig(TlsConfig):
    """``tls`` of an exporter: on, unless `insecure` and without a CA, as upstream."""

    insecure: Bool = Field(
        default=False,
        description="Send in plaintext; means nothing when a CA is given, as upstream.",
    )
    insecure_skip_verify: Bool = Field(
        default=False,
        description="Refused while TLS is on: grpcio always checks certificates.",
    )
    server_name_override: Text = Field(
        default="",
        description="The name that the backend's certificate must be for, in place of"
        " the endpoint's.",
    )

    @property
    def plaintext(self) -> bool:
        """Whether TLS is off; an endpoint with https:// switches it on again."""
        return self.insecure and not self.has_ca

    @rule
    def _verifies(self) -> Iterator[str]:
        if self.insecure_skip_verify and not self.plaintext:
            yield f"insecure_skip_verify: {_NO_SKIP}"

    @rule
    def _versions(self) -> Iterator[str]:
        if not self.plaintext:
            yield from _wrong_versions(self)


class TlsServerConfig(TlsConfig):
    """``tls`` of a receiver: being there, it is on."""

    client_ca_file: Text = Field(
        default="",
        description="PEM of the CAs of clients: who shows no certificate of theirs is"
        " turned away.",
    )
    client_ca_file_reload: Bool = Field(
        default=False, description="Whether that file is read again when it changed."
    )

    @rule
    def _complete(self) -> Iterator[str]:
        if not self.has_cert and not self.has_key:
            yield (
                "a receiver needs a certificate and its key (cert_file or cert_pem,"
                " key_file or key_pem)"
            )

    def advice(self) -> Iterable[str]:
        """A CA that nobody is checked against is likely meant for clients."""
        if self.has_ca:
            yield (
                "ca_file and ca_pem mean nothing at a receiver, here as upstream;"
                " clients are checked against client_ca_file"
            )


class GrpcTlsServerConfig(TlsServerConfig):
    """``tls`` of the gRPC receiver."""

    @rule
    def _versions(self) -> Iterator[str]:
        yield from _wrong_versions(self)


def _wrong_versions(config: TlsConfig) -> Iterator[str]:
    if config.min_version == "1.3":
        yield f"min_version 1.3: {_GRPC_VERSIONS}; 1.2 is its minimum"
    if config.max_version == "1.2":
        yield f"max_version 1.2: {_GRPC_VERSIONS}; 1.3 is its maximum"
