"""What stands at the door of a receiver: its TLS, and who may come in.

One for each protocol. Without ``tls`` and ``auth`` in the file both are None and a
request costs nothing here.
"""

from __future__ import annotations

import ssl
import time

from tailring_otlpio import status
from tailring_otlpio.authenticator import HeaderOf, ServerAuth
from tailring_otlpio.errors import BadTls, Unauthenticated
from tailring_otlpio.extensions import Extensions
from tailring_otlpio.receiver_config import GrpcServerConfig, HttpServerConfig
from tailring_otlpio.security_metrics import AUTH_FAILURES, TLS_HANDSHAKES
from tailring_otlpio.status import Answer
from tailring_otlpio.tls_contexts import server_context
from tailring_otlpio.tls_files import TlsFiles
from tailring_pipeline import Refused
from tailring_runtime.errors import StartError
from tailring_runtime.metrics import Metrics

__all__ = ["Guard"]


class Guard:
    """The guard of one protocol of one receiver; on the event loop.

    It knows for whom it stands there: the ``receiver``'s id and its ``metrics``.
    """

    def __init__(
        self,
        config: GrpcServerConfig | HttpServerConfig,
        *,
        receiver: str,
        metrics: Metrics,
        extensions: Extensions | None,
    ) -> None:
        """Read the files. Raises `StartError` when one cannot be used."""
        transport = "grpc" if isinstance(config, GrpcServerConfig) else "http"
        self.receiver = receiver
        self.metrics = metrics
        self._labels = {"receiver": receiver, "transport": transport}
        self.handshakes = metrics.counter(TLS_HANDSHAKES, **self._labels)
        self.auth: ServerAuth | None = None
        self.tls: TlsFiles | None = None
        if config.auth is not None:
            assert extensions is not None, "auth needs the extensions of the process"
            self.auth = extensions.find(config.auth.authenticator, ServerAuth)  # type: ignore[type-abstract]  # any kind of it
        if config.tls is not None:
            where = f"receivers::{receiver}::protocols::{transport}::tls"
            try:
                self.tls = TlsFiles(config.tls, where=where, metrics=metrics)
            except BadTls as error:
                raise StartError(str(error)) from error

    async def turns_away(self, header_of: HeaderOf) -> Answer | None:
        """The answer to a request that may not come in, counted; None when it may."""
        assert self.auth is not None, "there is nobody to ask"
        try:
            await self.auth.check(header_of)
        except Unauthenticated as error:
            failures = self.metrics.counter(
                AUTH_FAILURES, reason=error.reason, **self._labels
            )
            failures.add()
            return status.unauthenticated(str(error))
        except Refused as error:
            return status.refused(error)
        return None

    def context(self) -> ssl.SSLContext | None:
        """TLS of the standard library, whose every handshake uses the files of then."""
        files = self.tls
        if files is None:
            return None
        context = _context(files)
        # What new handshakes use; those that run keep theirs.
        current = context

        def begin(connection: ssl.SSLObject, _name: str, _initial: object) -> None:
            """A handshake begins: the library asks which context it shall use."""
            nonlocal current
            self.handshakes.value += 1
            if files.look(time.monotonic()):
                current = _context(files)
            if current is not context:
                connection.context = current

        context.sni_callback = begin
        return context


def _context(files: TlsFiles) -> ssl.SSLContext:
    return server_context(
        files.material.certificate,
        files.material.key,
        client_ca=files.material.client_ca,
        min_version=files.config.min_version,
        max_version=files.config.max_version,
    )
