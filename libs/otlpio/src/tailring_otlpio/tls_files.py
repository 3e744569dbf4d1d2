"""What a ``tls`` block names: read, checked, and read again when it changed.

Rules:

* At start everything must be usable: PEM that can be read, a key that fits its
  certificate, nothing expired. The error names the key of the configuration.
* Later nothing gets worse: files that cannot be used (half written, gone, expired) are
  logged and counted, and what was read before stays in use.
* Certificate and key are read together, so a pair is of one age.
* Secrets are in no `repr` and in no message.

Whoever makes connections calls `look` before; see `watched_file`. The caller has the
clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from pydantic import SecretStr

from tailring_otlpio.certificates import not_after, pem_certificates, system_roots
from tailring_otlpio.errors import BadTls
from tailring_otlpio.security_metrics import TLS_NOT_AFTER, TLS_RELOADS
from tailring_otlpio.tls_config import TlsConfig, TlsServerConfig
from tailring_otlpio.tls_contexts import check_pair
from tailring_otlpio.watched_file import WatchedFile, reason_of
from tailring_runtime.logs import get_logger
from tailring_runtime.metrics import Metrics

__all__ = ["TlsFiles", "TlsMaterial"]

_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """Everything a handshake needs, as PEM; empty where nothing is given.

    ``ca`` is what a client trusts (empty: what its library brings), ``client_ca`` whose
    certificates a server asks for. ``not_after_s``: when the own certificate expires.
    """

    ca: bytes = b""
    certificate: bytes = b""
    key: bytes = field(default=b"", repr=False)
    client_ca: bytes = b""
    not_after_s: float = 0.0


class TlsFiles:
    """The material of one ``tls`` block; ``epoch`` grows when it is another one."""

    def __init__(self, config: TlsConfig, *, where: str, metrics: Metrics) -> None:
        """Read everything; ``where`` is the key path. Raises `BadTls`."""
        self.config = config
        self.epoch = 0
        self._where = where
        self._log = get_logger(tls=where)
        self._interval_s = config.reload_interval / _NS_PER_S
        self._next_s = 0.0
        self._watched: list[WatchedFile] = []
        self._once: dict[str, bytes] = {}
        self.material = self._read()
        self._good = metrics.counter(TLS_RELOADS, tls=where, outcome="success")
        self._bad = metrics.counter(TLS_RELOADS, tls=where, outcome="failure")
        if self.material.certificate:
            metrics.gauge_callback(
                TLS_NOT_AFTER, lambda: self.material.not_after_s, tls=where
            )

    def look(self, now_s: float) -> bool:
        """Read again what changed, if it is time to look; whether it is another one."""
        if not self._interval_s or now_s < self._next_s:
            return False
        self._next_s = now_s + self._interval_s
        if not any(file.changed() for file in self._watched):
            return False
        try:
            material = self._read()
        except BadTls as error:
            self._bad.add()
            self._log.error("TLS files cannot be used, keeping those before", why=error)
            return False
        if material == self.material:
            return False
        self.material = material
        self.epoch += 1
        self._good.add()
        self._log.info("TLS files were read again")
        return True

    def _read(self) -> TlsMaterial:
        config, watched = self.config, list[WatchedFile]()
        ca = self._part("ca", config.ca_file, config.ca_pem, watched=watched)
        certificate = self._part(
            "cert", config.cert_file, config.cert_pem, watched=watched
        )
        key = self._part("key", config.key_file, config.key_pem, watched=watched)
        client_ca = self._client_ca(watched)
        expires_s = self._check_pair(certificate, key) if certificate else 0.0
        for what, bundle in (("ca", ca), ("client_ca", client_ca)):
            if bundle:
                self._check_bundle(what, bundle)
        self._watched = watched
        if isinstance(config, TlsServerConfig):
            if client_ca and config.include_system_ca_certs_pool:
                client_ca += b"\n" + system_roots()
        elif not ca or config.include_system_ca_certs_pool:
            ca += b"\n" + system_roots()
        return TlsMaterial(ca.strip(), certificate, key, client_ca, expires_s)

    def _client_ca(self, watched: list[WatchedFile]) -> bytes:
        config = self.config
        if not isinstance(config, TlsServerConfig) or not config.client_ca_file:
            return b""
        if not config.client_ca_file_reload and "client_ca" in self._once:
            return self._once["client_ca"]
        files = watched if config.client_ca_file_reload else []
        found = self._part(
            "client_ca", config.client_ca_file, SecretStr(""), watched=files
        )
        self._once["client_ca"] = found
        return found

    def _part(
        self, what: str, path: str, pem: SecretStr, *, watched: list[WatchedFile]
    ) -> bytes:
        if not path:
            return pem.get_secret_value().encode()
        file = WatchedFile(path)
        try:
            data = file.read()
        except (OSError, ValueError) as error:
            raise self._bad_part(what, reason_of(error)) from None
        watched.append(file)
        if not data.strip():
            raise self._bad_part(what, "it is empty")
        return data

    def _check_pair(self, certificate: bytes, key: bytes) -> float:
        """When the certificate expires."""
        try:
            found = pem_certificates(certificate)
            if not found:
                raise ValueError("it has no certificate (PEM)")
            end = not_after(found[0])
        except ValueError as error:
            raise self._bad_part("cert", str(error)) from None
        if end <= datetime.now(UTC):
            raise self._bad_part("cert", f"the certificate expired on {end:%c} UTC")
        try:
            check_pair(certificate, key)
        except ValueError as error:
            raise self._bad_part("key", str(error)) from None
        return end.timestamp()

    def _check_bundle(self, what: str, bundle: bytes) -> None:
        try:
            ends = [not_after(one) for one in pem_certificates(bundle)]
        except ValueError as error:
            raise self._bad_part(what, str(error)) from None
        if not ends:
            raise self._bad_part(what, "it has no certificate (PEM)")
        if max(ends) <= datetime.now(UTC):
            raise self._bad_part(what, f"expired on {max(ends):%c} UTC")

    def _bad_part(self, what: str, why: str) -> BadTls:
        path = getattr(self.config, f"{what}_file")
        if path:
            return BadTls(f"{self._where}::{what}_file: {path}: {why}")
        return BadTls(f"{self._where}::{what}_pem: {why}")
