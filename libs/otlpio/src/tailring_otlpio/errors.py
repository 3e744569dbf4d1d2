"""The errors inside this package; between stages only the pipeline's travel."""

from __future__ import annotations

__all__ = ["BodyTooLarge", "MalformedBody", "OtlpIoError"]


class OtlpIoError(Exception):
    """The base of everything that this package raises on purpose."""


class MalformedBody(OtlpIoError):
    """Raised when an HTTP body is not what its headers say it is."""


class BodyTooLarge(OtlpIoError):
    """Raised when an HTTP body is larger than allowed, compressed or not."""
