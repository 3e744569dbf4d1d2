"""The blocks of ``policies``: read by type, checked by the type's own model.

A policy's block is a model made from its type: ``name``, ``type`` and one key that is
called like the type and holds the model that stands beside the policy. Policies that
hold others read theirs by `read_policy` too.

Two things are stricter than upstream: an unknown key inside a policy is an error
(upstream takes a map for the configuration of an extension and goes on with defaults),
and so is the block of another type.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import Field, ValidationError, ValidationInfo, create_model
from pydantic_core import PydanticCustomError

from tailring_runtime.config import NULL_IS_EMPTY, ConfigModel, Text, nearest
from tailring_sampler.errors import PluginError
from tailring_sampler.judge import NamedPolicy
from tailring_sampler.policies import PolicyType, build_policy, policy_types
from tailring_sampler.policies.built_in import NOT_IN_THIS_VERSION

__all__ = ["PolicyBlock", "problem", "read_policy"]


class PolicyBlock(ConfigModel):
    """One entry of ``policies``; the real models are made by type."""

    name: Text
    type: Text

    def named_policy(self, label_prefix: str = "") -> NamedPolicy:
        """The policy, ready to judge, under its name as metrics show it."""
        policy = build_policy(policy_types()[self.type], getattr(self, self.type))
        return NamedPolicy(label_prefix + self.name, policy)


@cache
def _block_model(policy_type: PolicyType[Any]) -> type[PolicyBlock]:
    model = policy_type.model
    # Absent is the same as empty: its own validation then says what is missing.
    block: Any = (
        Annotated[model, NULL_IS_EMPTY],
        Field(default_factory=dict, validate_default=True),
    )
    fields: dict[str, Any] = {policy_type.name: block}
    name = f"{policy_type.name}_policy"
    return create_model(name, __base__=PolicyBlock, __doc__=model.__doc__, **fields)


def read_policy(value: Any, info: ValidationInfo) -> Any:
    """The block of one policy; whatever is no map is left to the model's own check."""
    value = {} if value is None else value
    if isinstance(value, PolicyBlock) or not isinstance(value, Mapping):
        return value
    name = value.get("name")
    if name is None or name == "":
        raise problem("policy name cannot be empty", key="name")
    written = value.get("type") or ""
    policy_type = _type_of(str(name), str(written))
    block = _block_model(policy_type).model_validate(value, context=info.context)
    _try_to_build(block)
    return block


def _try_to_build(block: PolicyBlock) -> None:
    """Find now what would fail at start. Each processor builds policies of its own."""
    try:
        block.named_policy()
    except PluginError as error:
        message = f'failed to create policy evaluator for "{block.name}": {error}'
        raise problem(message, key=block.type) from error


def _type_of(name: str, written: str) -> PolicyType[Any]:
    try:
        types = policy_types()
    except PluginError as error:
        raise problem(str(error), key="type") from error
    if written in types:
        return types[written]
    reason = f"unknown sampling policy type {written}"
    if written in NOT_IN_THIS_VERSION:
        reason = f"the policy type {written} is not in this version"
    raise problem(
        f'failed to create policy evaluator for "{name}": {reason}',
        key="type",
        close=nearest(written, types),
    )


def problem(message: str, *, key: str, close: str = "") -> ValidationError:
    """A problem that is told at ``key`` of the block that is read."""
    context = {"message": message, "nearest": close}
    error = PydanticCustomError("policy", "{message}", context)
    return ValidationError.from_exception_data(
        "policy", [{"type": error, "loc": (key,), "input": None}]
    )
