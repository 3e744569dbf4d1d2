"""Policies inside of policies: how their blocks are read and what they may be.

A sub-policy is written like a policy: ``name``, ``type`` and a key that is called like
the type. Names are not checked, as upstream. Which of the policies that hold others may
stand inside another one is told by that one; all other types may.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    create_model,
)
from pydantic_core import PydanticCustomError

from tailring_runtime.config import NULL_IS_EMPTY, ConfigModel, Text, nearest
from tailring_sampler.policies.policy import Needs, Policy, needs_of
from tailring_sampler.policies.registry import PolicyType, build_policy

__all__ = [
    "COMPOUND",
    "Block",
    "block_model",
    "most_needed",
    "problem",
    "sub_policies",
]

# The types that hold other policies.
COMPOUND = frozenset({"and", "composite", "drop", "not"})
_ORDER = (Needs.SUMMARY, Needs.RESOURCES, Needs.SPANS)


class Block(ConfigModel):
    """One policy as it is written; the real models are made by type."""

    name: Text = ""
    type: Text = ""

    def build(self) -> Policy:
        """The policy. Raises `PluginError` when none comes of it."""
        return build_policy(_types()[self.type], getattr(self, self.type))


def sub_policies(*compound: str) -> Any:
    """The type of a field: a sub-policy, which may be one of the ``compound`` types
    beside those that hold no others."""

    def read(value: Any, info: ValidationInfo) -> Any:
        """The block of one, read by its type."""
        value = {} if value is None else value
        if isinstance(value, Block) or not isinstance(value, Mapping):
            return value
        written = str(value.get("type") or "")
        types = _types()
        allowed = [name for name in types if name not in COMPOUND - {*compound}]
        if written not in allowed:
            message = f"unknown sampling policy type {written}"
            if written in types:
                message += "; it cannot stand inside this one"
            raise problem(message, key="type", close=nearest(written, allowed))
        model = block_model(types[written], Block)
        return model.model_validate(value, context=info.context)

    return SerializeAsAny[Annotated[Block, BeforeValidator(read)]]


def most_needed(policies: list[Policy]) -> Needs:
    """The costliest need of some policies."""
    return max(map(needs_of, policies), key=_ORDER.index, default=Needs.SUMMARY)


@cache
def block_model(policy_type: PolicyType[Any], base: type[Block]) -> Any:
    """``base`` with the block of one type."""
    model = policy_type.model
    # Absent is the same as empty: its own validation then says what is missing.
    block: Any = (
        Annotated[model, NULL_IS_EMPTY],
        Field(default_factory=dict, validate_default=True),
    )
    fields: dict[str, Any] = {policy_type.name: block}
    name = f"{policy_type.name}_policy"
    return create_model(name, __base__=base, __doc__=model.__doc__, **fields)


def problem(message: str, *, key: str, close: str = "") -> ValidationError:
    """A problem that is told at ``key`` of the block that is read."""
    context = {"message": message, "nearest": close}
    error = PydanticCustomError("policy", "{message}", context)
    return ValidationError.from_exception_data(
        "policy", [{"type": error, "loc": (key,), "input": None}]
    )


def _types() -> Mapping[str, PolicyType[Any]]:
    # The list names the types that are made with this module.
    from tailring_sampler.policies.built_in import policy_types

    return policy_types()
