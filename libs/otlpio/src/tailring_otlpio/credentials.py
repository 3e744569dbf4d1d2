"""What the connections of one exporter show and trust, shared by its backends."""

from __future__ import annotations

from dataclasses import dataclass

from tailring_otlpio.authenticator import ClientAuth
from tailring_otlpio.client_config import OtlpExporterConfig
from tailring_otlpio.errors import BadTls
from tailring_otlpio.extensions import Extensions
from tailring_otlpio.http_client_config import OtlpHttpExporterConfig
from tailring_otlpio.tls_files import TlsFiles
from tailring_runtime.errors import StartError
from tailring_runtime.metrics import Metrics

__all__ = ["PLAINTEXT", "Credentials", "client_credentials"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """``tls`` None is plaintext, ``auth`` None sends nothing of its own."""

    tls: TlsFiles | None = None
    auth: ClientAuth | None = None


PLAINTEXT = Credentials()


def client_credentials(
    config: OtlpExporterConfig | OtlpHttpExporterConfig,
    *,
    where: str,
    metrics: Metrics,
    extensions: Extensions,
) -> Credentials:
    """Those of an exporter; ``where`` is the key path of ``config``.

    Raises `StartError` when a file cannot be used.
    """
    auth: ClientAuth | None = None
    if config.auth is not None:
        auth = extensions.find(config.auth.authenticator, ClientAuth)  # type: ignore[type-abstract]  # any kind of it
    if config.plaintext:
        return Credentials(None, auth)
    try:
        tls = TlsFiles(config.tls, where=f"{where}::tls", metrics=metrics)
    except BadTls as error:
        raise StartError(str(error)) from error
    return Credentials(tls, auth)
