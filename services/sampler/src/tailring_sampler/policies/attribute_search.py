"""Looks for an attribute with a fitting value in a trace's resources and spans.

Scopes, events and links are never looked at, as upstream. A resource is judged once for
all traces that share it: the answer is remembered by its encoded header.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from tailring_otlpwire import Attribute, Piece, SpanAttributes, resource_attribute

__all__ = ["AttributeSearch"]

# Headers whose answer is remembered; a fleet has some thousand pods.
HEADERS_MAX: Final = 16_384

Fits = Callable[[Attribute], bool]


class AttributeSearch:
    """Says whether a resource or a span carries the key with a fitting value."""

    def __init__(
        self, key: str, fits: Fits, *, fits_resource: Fits | None = None
    ) -> None:
        """``fits`` judges values of spans, and of resources unless those have their
        own."""
        self._key = key.encode()
        self._fits = fits
        self._fits_resource = fits_resource or fits
        self._resources: dict[bytes, bool] = {}

    def found(self, pieces: Sequence[Piece]) -> bool:
        """Whether any does; ends at the first."""
        header: bytes | None = None
        for piece in pieces:
            if piece.resource is not header:
                header = piece.resource
                if self._in_resource(header):
                    return True
            if self._in_spans(piece.spans):
                return True
        return False

    def _in_resource(self, header: bytes) -> bool:
        known = self._resources.get(header)
        if known is not None:
            return known
        value = resource_attribute(header, self._key)
        answer = value is not None and self._fits_resource(value)
        if len(self._resources) >= HEADERS_MAX:
            self._resources.clear()
        self._resources[header] = answer
        return answer

    def _in_spans(self, spans: bytes) -> bool:
        if self._key not in spans:
            return False
        values = SpanAttributes(spans, self._key)
        while values.next():
            if self._fits(values):
                return True
        return False
