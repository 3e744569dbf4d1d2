"""PEM: what is in a bundle, until when it holds, and what the system trusts.

Only the end of a certificate's validity is read from its encoding (RFC 5280, 4.1):
everything else is left to the TLS libraries.
"""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

__all__ = ["not_after", "pem_certificates", "system_roots"]

_PEM: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL
)
# Where distributions keep them; the first that is there is meant, as in Go.
_ROOTS: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_VERSION_TAG: Final = 0xA0
_UTC_TIME: Final = 0x17
_TIMES: Final = {_UTC_TIME: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}
_LONG_FORM: Final = 0x80


def pem_certificates(pem: bytes) -> list[bytes]:
    """The certificates of a PEM bundle, DER-encoded. Raises ValueError for bad ones."""
    found = []
    for block in _PEM.findall(pem):
        try:
            found.append(ssl.PEM_cert_to_DER_cert(block.decode("ascii")))
        except ValueError as error:
            raise ValueError(f"a certificate is not PEM: {error}") from None
    return found


def not_after(der: bytes) -> datetime:
    """When a certificate's validity ends. Raises ValueError when it is none."""
    try:
        _, certificate, _ = _element(der, 0)
        _, tbs, _ = _element(certificate, 0)
        tag, _, end = _element(tbs, 0)
        # version (absent in version 1), serialNumber, signature, issuer, validity
        for _ in range(3 if tag == _VERSION_TAG else 2):
            _, _, end = _element(tbs, end)
        _, validity, _ = _element(tbs, end)
        _, _, end = _element(validity, 0)
        tag, text, _ = _element(validity, end)
        return datetime.strptime(text.decode(), _TIMES[tag]).replace(tzinfo=UTC)
    except (IndexError, KeyError, ValueError):
        raise ValueError("it is not a certificate") from None


def _element(data: bytes, at: int) -> tuple[int, bytes, int]:
    """The tag and contents of the DER element at ``at``, and where it ends."""
    tag, length, begin = data[at], data[at + 1], at + 2
    if length >= _LONG_FORM:
        size = length - _LONG_FORM
        length = int.from_bytes(data[begin : begin + size])
        begin += size
    if begin + length > len(data):
        raise ValueError("cut off")
    return tag, data[begin : begin + length], begin + length


def system_roots() -> bytes:
    """The CAs that the system trusts, as PEM; empty when it names none.

    SSL_CERT_FILE and SSL_CERT_DIR come first.
    """
    paths = ssl.get_default_verify_paths()
    for name in (paths.cafile, *_ROOTS):
        if name and Path(name).is_file():
            return Path(name).read_bytes()
    if paths.capath is None:
        return b""
    files = sorted(one for one in Path(paths.capath).iterdir() if one.is_file())
    return b"\n".join(one.read_bytes() for one in files)
