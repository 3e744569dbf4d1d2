"""The types of policies: the built-in ones and what plug-ins bring.

A package adds a policy by an entry point of the group ``tailring.policies`` whose value
is a `PolicyType`. A plug-in may not take the name of a type that is there already.

A plug-in's code is not ours: whatever it raises while it is loaded or while it builds a
policy becomes a `PluginError`, and that a problem of the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Generic, TypeVar

from tailring_runtime.config import ConfigModel
from tailring_sampler.errors import PluginError
from tailring_sampler.policies.policy import Policy

__all__ = ["ENTRY_POINT_GROUP", "PolicyType", "build_policy", "collect_types"]

ENTRY_POINT_GROUP = "tailring.policies"

ModelT = TypeVar("ModelT", bound=ConfigModel)


@dataclass(frozen=True, slots=True)
class PolicyType(Generic[ModelT]):
    """A kind of policy: its ``type`` in the YAML, its block, how it is built.

    ``build`` gets the validated block and makes a policy from it. It is called when the
    configuration is checked, also by `validate`, where what it raises is told as a
    problem of that block; and again for each pipeline, whose policies are its own.
    """

    name: str
    model: type[ModelT]
    build: Callable[[ModelT], Policy]


AnyPolicyType = PolicyType[ConfigModel] | PolicyType  # type: ignore[type-arg]


def collect_types(
    built_in: Iterable[AnyPolicyType], entry_points: Iterable[EntryPoint]
) -> Mapping[str, AnyPolicyType]:
    """All types by name. Raises `PluginError` for a plug-in that cannot be used."""
    types = {policy_type.name: policy_type for policy_type in built_in}
    for entry_point in entry_points:
        policy_type = _load(entry_point)
        if policy_type.name in types:
            raise PluginError(
                f"plug-in {entry_point.value} brings the policy type "
                f'"{policy_type.name}", which exists already'
            )
        types[policy_type.name] = policy_type
    return types


def build_policy(policy_type: AnyPolicyType, block: ConfigModel) -> Policy:
    """A policy from its validated block. Raises `PluginError` when none comes of it."""
    try:
        policy = policy_type.build(block)
    except Exception as error:  # a plug-in's code may raise anything
        reason = str(error) or type(error).__name__
        raise PluginError(f"its type cannot build it: {reason}") from error
    if not callable(getattr(policy, "evaluate", None)):
        kind = type(policy).__name__
        raise PluginError(f"its type builds no policy: {kind} has no evaluate()")
    return policy


def _load(entry_point: EntryPoint) -> AnyPolicyType:
    try:
        loaded = entry_point.load()
    except Exception as error:  # a plug-in's import may raise anything
        raise PluginError(
            f"plug-in {entry_point.value} cannot be loaded: {error}"
        ) from error
    if not isinstance(loaded, PolicyType):
        raise PluginError(f"plug-in {entry_point.value} is not a PolicyType")
    return loaded
