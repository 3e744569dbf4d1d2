"""Keys behind a path or a converter: `attributes["a"][0]`, `Split(...)[1]`.

A path's missing key is nil; a converter's missing key is an error, as upstream has it.
An index out of bounds is an error in both.
"""

from __future__ import annotations

from tailring_ottl.errors import EvalError
from tailring_ottl.view import Getter, View

__all__ = ["indexed", "map_key", "value_at"]


def map_key(key: Getter, view: View) -> str:
    """The key as a map's; EvalError unless it is a string."""
    name = key.get(view)
    if not isinstance(name, str):
        raise EvalError(f"a map is indexed by a string, not {type(name).__name__}")
    return name


def value_at(value: object, keys: list[Getter], view: View) -> object:
    """What the keys find in an attribute's value; None where a map lacks one."""
    for key in keys:
        if isinstance(value, dict):
            name = map_key(key, view)
            if name not in value:
                return None
            value = value[name]
        elif isinstance(value, list):
            value = _item(value, key.get(view))
        else:
            raise EvalError(f"type {type(value).__name__} does not support indexing")
    return value


def indexed(value: object, keys: list[Getter], view: View) -> object:
    """What the keys find in a converter's value; EvalError where there is nothing."""
    for key in keys:
        at = key.get(view)
        if isinstance(at, str) and isinstance(value, dict):
            if at not in value:
                raise EvalError("key not found in map")
            value = value[at]
        elif isinstance(value, list | bytes):
            value = _item(value, at)
        else:
            raise EvalError(f"type {type(value).__name__} does not support indexing")
    return value


def _item(items: list[object] | bytes, at: object) -> object:
    if type(at) is not int:
        raise EvalError(f"a list is indexed by an int, not {type(at).__name__}")
    if not 0 <= at < len(items):
        raise EvalError(f"index {at} out of bounds")
    return items[at]
