"""The blocks of ``policies``: read by type, checked by the type's own model.

Two things are stricter than upstream: an unknown key inside a policy is an error
(upstream takes a map for the configuration of an extension and goes on with defaults),
and so is the block of another type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationInfo

from tailring_runtime.config import nearest
from tailring_sampler.errors import PluginError
from tailring_sampler.judge import NamedPolicy
from tailring_sampler.policies import PolicyType, policy_types
from tailring_sampler.policies.sub_policies import Block, block_model, problem

__all__ = ["PolicyBlock", "problem", "read_policy"]


class PolicyBlock(Block):
    """One entry of ``policies``."""

    def named_policy(self, label_prefix: str = "") -> NamedPolicy:
        """The policy, ready to judge, under its name as metrics show it."""
        return NamedPolicy(self.name, self.build(), label_prefix=label_prefix)


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
    model = block_model(policy_type, PolicyBlock)
    block: PolicyBlock = model.model_validate(value, context=info.context)
    _try_to_build(block)
    return block


def _try_to_build(block: PolicyBlock) -> None:
    """Find now what would fail at start. Each processor builds policies of its own."""
    try:
        block.build()
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
    raise problem(
        f'failed to create policy evaluator for "{name}": unknown sampling policy type'
        f" {written}",
        key="type",
        close=nearest(written, types),
    )
