"""The errors of this package."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address

from tailring_resolvers.halves import Family

__all__ = [
    "ApiRefusal",
    "PartialAnswer",
    "ResolutionError",
    "Throttled",
    "VersionGone",
]


class ResolutionError(Exception):
    """Raised when a source of endpoints gave no answer that can be used.

    ``source`` is what was asked (a host name); ``reason`` says what came back.
    """

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")
        self.source = source
        self.reason = reason


class Throttled(ResolutionError):
    """Raised when a source asks to be asked less often."""


class PartialAnswer(ResolutionError):
    """Raised when one address family answered and the other one failed.

    ``addresses`` is what answered; ``missing_kind`` is "A" or "AAAA".
    """

    def __init__(
        self,
        source: str,
        reason: str,
        *,
        addresses: tuple[IPv4Address | IPv6Address, ...],
        missing_kind: Family,
    ) -> None:
        found = f"{len(addresses)} addresses of the other family are not the whole list"
        super().__init__(source, f"{missing_kind}: {reason}; {found}")
        self.addresses = addresses
        self.missing_kind = missing_kind


class ApiRefusal(ResolutionError):
    """Raised when the Kubernetes API answered, and the answer is no.

    ``code`` is the HTTP status; ``facts`` say in single words what is missing;
    ``retry_after_s`` is the wait that the server asks for, or 0.
    """

    def __init__(
        self,
        source: str,
        reason: str,
        *,
        code: int,
        facts: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(source, reason)
        self.code = code
        self.facts = facts or {}
        self.retry_after_s = 0.0


class VersionGone(ResolutionError):
    """Raised when the Kubernetes API no longer knows what came after a version."""
