"""Errors of the library: one base, one kind for the text, one for the evaluation."""

from __future__ import annotations

__all__ = ["ConditionError", "EvalError", "OttlError"]


class OttlError(Exception):
    """Base of what this library raises."""


class ConditionError(OttlError):
    """Raised when a condition's text cannot be compiled: a mistake of configuration."""


class EvalError(OttlError):
    """Raised when a compiled condition meets a span that it cannot be asked of."""
