"""grpcio's credentials from `TlsFiles`."""

from __future__ import annotations

import time

import grpc

from tailring_otlpio.tls_files import TlsFiles, TlsMaterial
from tailring_runtime.metrics import Counter

__all__ = ["channel_credentials", "server_credentials"]


def channel_credentials(material: TlsMaterial) -> grpc.ChannelCredentials:
    """For the connections of a client."""
    return grpc.ssl_channel_credentials(
        root_certificates=material.ca or None,
        private_key=material.key or None,
        certificate_chain=material.certificate or None,
    )


def server_credentials(files: TlsFiles, handshakes: Counter) -> grpc.ServerCredentials:
    """For a server whose every handshake uses the files of that moment.

    The core asks from threads of its own, before each handshake, which is counted.
    """

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        """What is new, or None."""
        handshakes.value += 1
        if files.look(time.monotonic()):
            return _configuration(files.material)
        return None

    return grpc.dynamic_ssl_server_credentials(
        _configuration(files.material),
        fetch,  # type: ignore[arg-type]  # None is unchanged, by its documentation
        require_client_authentication=bool(files.material.client_ca),
    )


def _configuration(material: TlsMaterial) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(material.key, material.certificate)],
        root_certificates=material.client_ca or None,
    )
