"""The base of every configuration model: frozen, strict, and helpful when refused.

Rules that it keeps for all blocks:

* A key is honoured or refused with a reason; an unknown one names its nearest
  neighbour. All problems of a block are reported together, not only the first: what
  is wrong with one key, with several together (`rules`) and with what is written at all
  (`clashes`).
* ``key:`` without a value is the same as leaving it out, except where the field says
  `NULL_IS_EMPTY`. (Upstream makes zero of a number, a duration or a bool then.)
* The value of a field that is secret, or holds secrets, is in no message.
* ``model_fields_set`` tells what the operator wrote, so that a default can behave
  differently from the same value written down.
"""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Collection, Iterable, Mapping
from types import UnionType
from typing import Annotated, Any, ClassVar, Self, Union

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails, PydanticCustomError

from tailring_runtime.config.rules import Complaint, Partial, broken_rules, partial
from tailring_runtime.config.types import (
    FROM_FILE,
    NULL_IS_EMPTY,
    Expanded,
    kind_of,
)

__all__ = ["ConfigModel", "nearest"]

UNKNOWN_KEY = "unknown_key"
# Errors that already have our words when an outer block meets them.
OWN_TYPES = frozenset({UNKNOWN_KEY, "wrong_type"})
_QUOTED = re.compile("'([^']*)'")


class ConfigModel(BaseModel):
    """One block of the configuration. Subclass it beside the part it configures."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    # Keys of upstream's that are not honoured -> the reason, and what to do instead.
    refused: ClassVar[Mapping[str, str]] = {}
    # Refused keys -> the values that switch nothing on and are taken; a key that is not
    # listed has null.
    harmless: ClassVar[Mapping[str, tuple[object, ...]]] = {}
    # Another spelling of a key -> the key.
    spellings: ClassVar[Mapping[str, str]] = {}

    def advice(self) -> Iterable[str]:
        """Sentences worth a warning at start although the block is valid."""
        return ()

    def roles(self) -> Collection[object]:
        """Of an extension: what keys may name it for (`references.Role`)."""
        return ()

    def unfit(self, signal: str) -> Iterable[tuple[str, str]]:  # noqa: ARG002 - a hook
        """Of a component in a pipeline of ``signal``: keys whose value does not fit
        there, each with the reason."""
        return ()

    @classmethod
    def clashes(cls, written: Mapping[str, Any]) -> Iterable[Complaint]:  # noqa: ARG003 - a hook
        """What is wrong with the keys that are ``written``, whether their values are
        good or not; the values are as in the file."""
        return ()

    @classmethod
    def keys(cls) -> dict[str, FieldInfo]:
        """The keys that an operator may write, with their fields."""
        return {field.alias or name: field for name, field in cls.model_fields.items()}

    @model_validator(mode="wrap")
    @classmethod
    def _read(
        cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo
    ) -> Self:
        if isinstance(data, BaseModel) or issubclass(cls, Partial):
            return handler(data)
        if isinstance(data, Expanded):
            data = {} if data.value is None else data.value
        if not isinstance(data, Mapping):
            given = kind_of(data, secret=_holds_secret(cls))
            message: Any = f"expected a map of keys, got {given}"
            raise PydanticCustomError("wrong_type", message)
        kept, errors = cls._sort_out(data)
        if kept or not errors:
            # A misspelt key is not told about as a missing one too.
            errors += map(_complaint, cls.clashes(kept))
        model: Self | None = None
        try:
            model = handler(kept)
        except ValidationError as error:
            found = [_again(details, cls.keys()) for details in error.errors()]
            wrong = {str(one["loc"][0]) for one in found if one["loc"]}
            errors += found
            if wrong:
                model = partial(cls, kept, wrong=wrong, context=info.context)
        if model is not None:
            errors += map(_complaint, broken_rules(model))
        if errors or model is None:
            raise ValidationError.from_exception_data(cls.__name__, errors)
        return model

    @classmethod
    def salvage(cls, data: Any, wrong: Collection[str]) -> Self | None:
        """What can be read of a block of a file that has wrong keys, to be asked with
        `rules.readable`; None if nothing can."""
        given = data.value if isinstance(data, Expanded) else data
        if not isinstance(given, Mapping):
            return None
        kept, _ = cls._sort_out(given)
        wrong = {cls.spellings.get(key, key) for key in wrong}
        return partial(cls, kept, wrong=wrong, context=FROM_FILE)

    @classmethod
    def _sort_out(
        cls, data: Mapping[Any, Any]
    ) -> tuple[dict[str, Any], list[InitErrorDetails]]:
        fields = cls.keys()
        kept: dict[str, Any] = {}
        errors: list[InitErrorDetails] = []
        for written, value in data.items():
            key = cls.spellings.get(written, written)
            if key in cls.refused:
                if not cls._is_harmless(key, value):
                    errors.append(_error("refused", cls.refused[key], key=written))
            elif key not in fields:
                errors.append(cls._unknown(written))
            elif key in kept or (key != written and key in data):
                message = f"the same as {key}, which is written too"
                errors.append(_error("twice", message, key=written))
            elif not _is_null(value, fields[key]):
                kept[key] = _fitting(fields[key], value)
            elif NULL_IS_EMPTY in fields[key].metadata:
                kept[key] = {}
        return kept, errors

    @classmethod
    def _is_harmless(cls, key: str, value: Any) -> bool:
        given = value.value if isinstance(value, Expanded) else value
        return any(
            type(given) is type(off) and given == off
            for off in cls.harmless.get(key, (None,))
        )

    @classmethod
    def _unknown(cls, key: object) -> InitErrorDetails:
        close = nearest(str(key), [*cls.keys(), *cls.spellings])
        error = PydanticCustomError(UNKNOWN_KEY, "unknown key", {"nearest": close})
        return {"type": error, "loc": (str(key),), "input": None}


def nearest(word: str, valid: Iterable[str], *, alike: float = 0.6) -> str:
    """The valid word that looks most like ``word``, or "" when none looks like it.

    ``alike`` is the least likeness that counts, from 0 to 1, as `difflib` measures it.
    """
    found = difflib.get_close_matches(word, list(valid), n=1, cutoff=alike)
    return found[0] if found else ""


def _is_null(value: Any, field: FieldInfo) -> bool:
    # An empty variable is empty text to a text field and nothing to any other.
    if isinstance(value, Expanded):
        return value.value is None and not _takes(field.annotation, str, SecretStr)
    return value is None


def _takes(annotation: Any, *types: type) -> bool:
    if annotation in types:
        return True
    return any(
        _takes(arm, *types)
        for arm in typing.get_args(annotation)
        if typing.get_origin(annotation) in (Annotated, Union, UnionType)
    )


def _fitting(field: FieldInfo, value: Any) -> Any:
    # Strict validation takes no list for a tuple, and YAML has only lists.
    if isinstance(value, Expanded) and isinstance(value.value, list | dict):
        value = value if _takes(field.annotation, str, SecretStr) else value.value
    if isinstance(value, list) and _is_tuple(field.annotation):
        return tuple(value)
    return value


def _is_tuple(annotation: Any) -> bool:
    if typing.get_origin(annotation) is tuple:
        return True
    return any(typing.get_origin(arm) is tuple for arm in typing.get_args(annotation))


def _error(kind: Any, message: Any, *, key: str) -> InitErrorDetails:
    return {"type": PydanticCustomError(kind, message), "loc": (key,), "input": None}


def _complaint(complaint: Complaint) -> InitErrorDetails:
    key, text = ("", complaint) if isinstance(complaint, str) else complaint
    message: Any = text
    loc = (key,) if key else ()
    return {"type": PydanticCustomError("refused", message), "loc": loc, "input": None}


def _holds_secret(annotation: Any) -> bool:
    """Whether a value of this type is a secret, or has one in it."""
    if annotation is SecretStr:
        return True
    if isinstance(annotation, type) and issubclass(annotation, ConfigModel):
        fields = annotation.model_fields.values()
        return any(_holds_secret(field.annotation) for field in fields)
    return any(map(_holds_secret, typing.get_args(annotation)))


def _again(details: Any, fields: Mapping[str, FieldInfo]) -> InitErrorDetails:
    # pydantic has no way to raise an error again; a custom one with its words is.
    context = details.get("ctx") or {}
    field = fields.get(details["loc"][0]) if details["loc"] else None
    secret = field is not None and _holds_secret(field.annotation)
    message: Any = _reworded(details, context, secret=secret)
    message = message.removeprefix("Value error, ")
    close = context.get("nearest")
    if details["type"] == "literal_error" and isinstance(details["input"], str):
        close = nearest(details["input"], _QUOTED.findall(context["expected"]))
    kept = {"nearest": close} if close is not None else None
    kind: Any = details["type"] if details["type"] in OWN_TYPES else "refused"
    error = PydanticCustomError(kind, message, kept)
    return {"type": error, "loc": details["loc"], "input": details["input"]}


def _reworded(details: Any, context: Mapping[str, Any], *, secret: bool) -> str:
    """pydantic's message about a wrong value in the words of this package."""
    given = kind_of(details["input"], secret=secret)
    match details["type"]:
        case "missing":
            return "is required"
        case "literal_error":
            return f"expected {context['expected']}, got {given}"
        case "greater_than_equal":
            return f"must be greater than or equal to {context['ge']}"
        case "less_than_equal":
            return f"must be less than or equal to {context['le']}"
        case "tuple_type" | "list_type":
            return f"expected a list, got {given}"
        case "dict_type" | "mapping_type":
            return f"expected a map, got {given}"
        case _:
            return str(details["msg"])
