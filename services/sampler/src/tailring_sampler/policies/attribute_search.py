"""Looks for an attribute with a fitting value in a trace's resources and spans.

Scopes, events and links are never looked at, as upstream. A resource is judged once for
all traces that share it: the answer is remembered by its encoded header.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from tailring_otlpwire import Attribute, Piece, SpanAttributes, resource_attribute

__all__ = ["AttributeSearch"]

# What is remembered of headers, all of it forgotten at the bound; a fleet has some
# thousand pods. A large header is rare, and searching it is quick.
REMEMBERED_BYTES_MAX: Final = 4 << 20
HEADER_BYTES_MAX: Final = 4096
# What an entry costs beside its header.
ENTRY_BYTES: Final = 150

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
        self._remembered_bytes = 0

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
        if len(header) <= HEADER_BYTES_MAX:
            self._remember(header, answer)
        return answer

    def _remember(self, header: bytes, answer: bool) -> None:
        cost = len(header) + ENTRY_BYTES
        if self._remembered_bytes + cost > REMEMBERED_BYTES_MAX:
            self._resources.clear()
            self._remembered_bytes = 0
        self._resources[header] = answer
        self._remembered_bytes += cost

    def _in_spans(self, spans: bytes) -> bool:
        if self._key not in spans:
            return False
        values = SpanAttributes(spans, self._key)
        while values.next():
            if self._fits(values):
                return True
        return False
