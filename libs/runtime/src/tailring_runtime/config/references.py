"""Keys that name an extension, and whether what they name can do what they ask for.

A model writes such a key with `ServerAuthenticator`, `ClientAuthenticator` or
`StorageExtension`; an extension's model says in `roles` what it is good for. A name is
good when the extension is defined, listed in ``service.extensions`` and has the role.
It knows no extension by name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, PlainSerializer
from pydantic_core import PydanticCustomError

from tailring_runtime.config.component import ComponentId
from tailring_runtime.config.model import ConfigModel, nearest
from tailring_runtime.config.types import TypeName, kind_of

__all__ = [
    "ClientAuthenticator",
    "Reference",
    "Role",
    "ServerAuthenticator",
    "StorageExtension",
    "complaint",
    "references",
]


class Role(Enum):
    """What a key wants of the extension that it names; the value ends "it does not"."""

    SERVER_AUTH = "check who calls a receiver"
    CLIENT_AUTH = "make an exporter known to its backend"
    STORAGE = "keep data on disk"


@dataclass(frozen=True, slots=True)
class Reference:
    """One key below a component that names an extension."""

    path: tuple[str | int, ...]
    extension: ComponentId
    role: Role


def _component(value: object) -> ComponentId:
    if isinstance(value, ComponentId):
        return value
    if not isinstance(value, str):
        raise _wrong(f"expected the name of an extension, got {kind_of(value)}")
    try:
        return ComponentId.parse(str(value))
    except ValueError as error:
        raise _wrong(str(error)) from None


def _wrong(message: Any) -> PydanticCustomError:
    return PydanticCustomError("wrong_type", message)


_READ = BeforeValidator(_component)
_WRITE = PlainSerializer(str, return_type=str, when_used="json-unless-none")
_NAME = TypeName("extension")

ServerAuthenticator = Annotated[ComponentId, _READ, _WRITE, _NAME, Role.SERVER_AUTH]
ClientAuthenticator = Annotated[ComponentId, _READ, _WRITE, _NAME, Role.CLIENT_AUTH]
# With None, which has to be inside for the mark to be the field's.
StorageExtension = Annotated[
    ComponentId | None,
    BeforeValidator(lambda value: None if value is None else _component(value)),
    _WRITE,
    _NAME,
    Role.STORAGE,
]


def references(
    components: Mapping[str, Mapping[ComponentId, ConfigModel]],
) -> Iterator[Reference]:
    """Every extension that a component names; ``components`` are those by section."""
    for section, models in components.items():
        for one, model in models.items():
            yield from _within(model, (section, str(one)))


def _within(model: BaseModel, path: tuple[str | int, ...]) -> Iterator[Reference]:
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        here = (*path, field.alias or name)
        if isinstance(value, BaseModel):
            yield from _within(value, here)
        elif isinstance(value, ComponentId):
            roles = [mark for mark in field.metadata if isinstance(mark, Role)]
            yield from (Reference(here, value, role) for role in roles)


def complaint(
    reference: Reference,
    *,
    defined: Mapping[ComponentId, ConfigModel | None],
    listed: Collection[ComponentId],
) -> tuple[str, str]:
    """What is wrong with a reference and what was likely meant; ("", "") if nothing.

    ``defined`` are all extensions of the file; None is one with problems of its own.
    """
    one = reference.extension
    if one not in defined:
        message = f"references the extension {str(one)!r}, which is not defined"
        return message, nearest(str(one), map(str, defined))
    if one not in listed:
        return (
            f"references the extension {str(one)!r}, which is not in use; list it in"
            " service::extensions",
            "",
        )
    model = defined[one]
    if model is not None and reference.role not in model.roles():
        does_not = f"the extension {one}, as it is configured, does not"
        return f"{does_not} {reference.role.value}", ""
    return "", ""
