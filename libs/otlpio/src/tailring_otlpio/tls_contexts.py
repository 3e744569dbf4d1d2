"""The standard library's TLS, from PEM in memory.

It loads certificates from files only. They are given to it as files in memory where the
system has such, so that a key of the configuration is never on a disk; elsewhere as
files that only this user can read, for a moment.
"""

from __future__ import annotations

import os
import ssl
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from tailring_otlpio.tls_config import TlsClientConfig

__all__ = ["check_pair", "client_context", "server_context"]

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def check_pair(certificate: bytes, key: bytes) -> None:
    """Raise ValueError, with the reason, unless ``key`` is the certificate's."""
    _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate, key)


def server_context(
    certificate: bytes,
    key: bytes,
    *,
    client_ca: bytes,
    min_version: str = "",
    max_version: str = "",
) -> ssl.SSLContext:
    """For a server; with a ``client_ca`` only its clients are let in."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[min_version or "1.2"]
    if max_version:
        context.maximum_version = _VERSIONS[max_version]
    context.set_alpn_protocols(["http/1.1"])
    _load(context, certificate, key)
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=client_ca.decode("ascii", "ignore"))
    return context


def client_context(
    ca: bytes,
    *,
    certificate: bytes,
    key: bytes,
    config: TlsClientConfig,
) -> ssl.SSLContext:
    """For a client that trusts ``ca``, or with `insecure_skip_verify` anybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = _VERSIONS[config.min_version or "1.2"]
    if config.max_version:
        context.maximum_version = _VERSIONS[config.max_version]
    context.set_alpn_protocols(["http/1.1"])
    if certificate:
        _load(context, certificate, key)
    if not config.insecure_skip_verify:
        context.load_verify_locations(cadata=ca.decode("ascii", "ignore"))
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    with ExitStack() as stack:
        certificate_path = stack.enter_context(_as_file(certificate))
        key_path = stack.enter_context(_as_file(key))
        try:
            context.load_cert_chain(certificate_path, key_path, _no_password)
        except (ssl.SSLError, ValueError) as error:
            raise ValueError(_why(str(error))) from None


def _why(message: str) -> str:
    if "MISMATCH" in message:
        return "it is the key of another certificate"
    return message if message == _ENCRYPTED else "it is not a usable key (PEM)"


_ENCRYPTED: Final = "it is encrypted; give it without a password"


def _no_password() -> str:
    # Without an answer the library asks the terminal.
    raise ValueError(_ENCRYPTED)


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A path that holds ``content`` for as long as the block runs."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("pem")
        try:
            os.write(descriptor, content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "pem")
            path.touch(mode=0o600)
            path.write_bytes(content)
            yield str(path)
