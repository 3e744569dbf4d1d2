"""Errors of the sampler."""

from __future__ import annotations

__all__ = ["PluginError", "SamplerError"]


class SamplerError(Exception):
    """Base of the errors raised by this package."""


class PluginError(SamplerError):
    """Raised when a plug-in for policies cannot be loaded or used."""
