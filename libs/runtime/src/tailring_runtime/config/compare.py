"""Whether two blocks of configuration mean the same."""

from __future__ import annotations

from pydantic import BaseModel

__all__ = ["same"]


def same(one: object, other: object) -> bool:
    """Equal, and written alike: a default may mean something else when it is written.

    Of two files that differ only in comments, order or layout all blocks are the same.
    """
    if isinstance(one, BaseModel) and isinstance(other, BaseModel):
        return (
            type(one) is type(other)
            and one.model_fields_set == other.model_fields_set
            and all(
                same(getattr(one, name), getattr(other, name))
                for name in type(one).model_fields
            )
        )
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            same(one[key], other[key]) for key in one
        )
    return type(one) is type(other) and one == other
