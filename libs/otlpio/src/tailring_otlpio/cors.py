"""Cross-origin requests: which browser pages may send traces (the ``cors`` block).

Origins are compared in lower case; one ``*`` in a pattern stands for any text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tailring_otlpio.receiver_config import CorsConfig

__all__ = ["Cors"]

# What a page may send without asking, as upstream's default.
_SAFE_HEADERS: Final = ("accept", "content-type", "x-requested-with")
_METHODS: Final = "POST"


def _matches(pattern: str, origin: str) -> bool:
    head, star, tail = pattern.partition("*")
    if not star:
        return pattern == origin
    long_enough = len(origin) >= len(head) + len(tail)
    return long_enough and origin.startswith(head) and origin.endswith(tail)


class Cors:
    """Answers what a browser asks; without origins it allows none."""

    def __init__(self, config: CorsConfig | None) -> None:
        config = config or CorsConfig()
        self._origins = tuple(origin.lower() for origin in config.allowed_origins)
        allowed = tuple(name.lower() for name in config.allowed_headers)
        self._any_header = "*" in allowed
        self._headers = frozenset((*_SAFE_HEADERS, *allowed))
        self._exposed = ", ".join(config.exposed_headers)
        self._max_age = config.max_age

    def allows(self, origin: str) -> bool:
        """Whether a page of this origin may read our answers."""
        lower = origin.lower()
        return any(_matches(pattern, lower) for pattern in self._origins)

    def headers(self, request: Mapping[str, str]) -> dict[str, str]:
        """Headers of the answer to a request with these headers."""
        if not self._origins:
            return {}
        origin = request.get("Origin", "")
        found = {"Vary": "Origin"}
        if origin and self.allows(origin):
            found |= self._grant(origin)
            if self._exposed:
                found["Access-Control-Expose-Headers"] = self._exposed
        return found

    def preflight(self, request: Mapping[str, str]) -> dict[str, str] | None:
        """Headers of the answer to an OPTIONS request; None when it is no preflight."""
        origin = request.get("Origin", "")
        asked = request.get("Access-Control-Request-Method", "")
        if not (self._origins and origin and asked):
            return None
        wanted = request.get("Access-Control-Request-Headers", "")
        found = {"Vary": "Origin, Access-Control-Request-Headers"}
        if not (self.allows(origin) and asked == _METHODS and self._may_send(wanted)):
            return found
        found |= self._grant(origin)
        found["Access-Control-Allow-Methods"] = _METHODS
        if wanted:
            found["Access-Control-Allow-Headers"] = wanted
        if self._max_age:
            found["Access-Control-Max-Age"] = str(self._max_age)
        return found

    def _grant(self, origin: str) -> dict[str, str]:
        return {
            "Access-Control-Allow-Origin": "*" if "*" in self._origins else origin,
            "Access-Control-Allow-Credentials": "true",
        }

    def _may_send(self, wanted: str) -> bool:
        names = (name.strip().lower() for name in wanted.split(",") if name.strip())
        return self._any_header or all(name in self._headers for name in names)
