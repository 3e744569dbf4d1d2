"""The errors inside this package; between stages only the pipeline's travel."""

from __future__ import annotations

__all__ = [
    "BadTls",
    "BodyTooLarge",
    "MalformedBody",
    "OtlpIoError",
    "Unauthenticated",
]


class OtlpIoError(Exception):
    """The base of everything that this package raises on purpose."""


class MalformedBody(OtlpIoError):
    """Raised when an HTTP body is not what its headers say it is."""


class BodyTooLarge(OtlpIoError):
    """Raised when an HTTP body is larger than allowed, compressed or not."""


class BadTls(OtlpIoError):
    """Raised when a certificate, key or CA cannot be used; says which key it is of."""


class Unauthenticated(OtlpIoError):
    """Raised when a request does not prove who sent it.

    ``reason`` is a short constant word (a metric label); the text is for the client and
    holds nothing that was secret.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
