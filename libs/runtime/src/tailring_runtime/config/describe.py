"""The keys of a model as rows of a table, for the generated documentation."""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tailring_runtime.config.durations import format_duration
from tailring_runtime.config.model import ConfigModel
from tailring_runtime.config.types import TypeName

__all__ = ["KeyRow", "describe"]


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One key: its path below the component, and what an operator must know of it.

    ``default`` is YAML, "required" or "unset". ``status`` is "honoured" or "refused",
    and then ``description`` is the reason.
    """

    path: str
    type: str
    default: str
    description: str
    status: str = "honoured"


def describe(model: type[ConfigModel], path: str = "") -> tuple[KeyRow, ...]:
    """Every key of ``model``, nested ones after their block, refused ones last."""
    rows: list[KeyRow] = []
    for key, field in model.keys().items():
        here = f"{path}.{key}" if path else key
        rows.append(
            KeyRow(here, _type(field), _default(field), field.description or "")
        )
        nested, several = _nested(field.annotation)
        if nested is not None:
            rows += describe(nested, f"{here}[]" if several else here)
    for key, reason in model.refused.items():
        here = f"{path}.{key}" if path else key
        rows.append(KeyRow(here, "", "", reason, status="refused"))
    return tuple(rows)


def _type(field: FieldInfo) -> str:
    for mark in field.metadata:
        if isinstance(mark, TypeName):
            return mark.name
    return _type_of(field.annotation)


def _type_of(annotation: Any) -> str:
    origin, arms = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        names = [mark.name for mark in arms[1:] if isinstance(mark, TypeName)]
        return names[0] if names else _type_of(arms[0])
    if origin is Literal:
        return " | ".join(str(arm) for arm in arms)
    if origin is tuple:
        return f"list of {_type_of(arms[0])}"
    if origin is dict:
        return f"map of {_type_of(arms[1])}"
    if arms:
        kinds = [_type_of(arm) for arm in arms if arm is not type(None)]
        return " or ".join(dict.fromkeys(kinds))
    if isinstance(annotation, type) and issubclass(annotation, ConfigModel):
        return "map"
    return getattr(annotation, "__name__", str(annotation))


def _nested(annotation: Any) -> tuple[type[ConfigModel] | None, bool]:
    if isinstance(annotation, type) and issubclass(annotation, ConfigModel):
        return annotation, False
    origin = typing.get_origin(annotation)
    if origin in (tuple, dict):
        item = typing.get_args(annotation)[-1 if origin is dict else 0]
        return _nested(item)[0], True
    if origin in (Annotated, Union, UnionType):
        for arm in typing.get_args(annotation):
            found, several = _nested(arm)
            if found is not None:
                return found, several
    return None, False


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value is PydanticUndefined:
        return "unset"
    if isinstance(value, ConfigModel):
        return ""
    if isinstance(value, SecretStr):  # a default is none
        value = value.get_secret_value()
    if any(isinstance(m, TypeName) and m.name == "duration" for m in field.metadata):
        return format_duration(value)
    if isinstance(value, tuple | Mapping) and not value:
        return "empty"
    return json.dumps(value, ensure_ascii=False)
