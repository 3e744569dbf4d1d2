"""`IsRootSpan()`: whether the span has no parent; in `span` lists only."""

from __future__ import annotations

from collections.abc import Callable

from tailring_ottl.registry import converter
from tailring_ottl.view import View

__all__ = ["is_root_span"]


@converter("IsRootSpan", span_only=True)
def is_root_span() -> Callable[[View], object]:
    """True for a span whose parent's id is empty or all zeros."""
    return lambda view: not any(view.span.parent_span_id)
