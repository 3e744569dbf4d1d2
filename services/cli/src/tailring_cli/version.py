"""What `tailring --version` says: the version, and which code is in use."""

from __future__ import annotations

import importlib
import importlib.metadata

__all__ = ["version_text"]

# Packages with a compiled part, and a module of each that is compiled with it.
_HOT = {
    "otlpwire": "tailring_otlpwire.fields",
    "hashring": "tailring_hashring.placement",
    "sampler": "tailring_sampler.tracebuffer",
}


def version_text() -> str:
    """The version and, for each package that can be compiled, whether it is."""
    version = importlib.metadata.version("tailring-cli")
    forms = ", ".join(f"{name} {_form(module)}" for name, module in _HOT.items())
    return f"tailring {version} ({forms})"


def _form(module: str) -> str:
    """``compiled`` when mypyc's form of the module is loaded, else ``pure``."""
    file = str(importlib.import_module(module).__file__)
    return "pure" if file.endswith(".py") else "compiled"
