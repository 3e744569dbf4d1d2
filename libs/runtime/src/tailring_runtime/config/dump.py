"""A configuration tree as text that this loader reads back as it was.

PyYAML writes YAML 1.1, in which ``08`` is text; the collector, and so the loader, reads
a number there. What the two understand differently is quoted.
"""

from __future__ import annotations

from typing import Any

import yaml

from tailring_runtime.config.yamltree import plain_value

__all__ = ["dump"]


class _Dumper(yaml.SafeDumper):
    """Quotes what is text and would be read as something else."""


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    style = None if isinstance(plain_value(value), str) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def dump(tree: Any) -> str:
    """The YAML of maps, lists and scalars, keys in the order they have."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
