"""Rules about several keys of a block, which a wrong key beside them does not hide.

A *rule* is a method of a model, marked with `rule`, that yields a complaint for each
thing that is wrong with the values of the block taken together. pydantic's own
validators of a whole model are asked only when every single key is right, so that an
operator would learn of them in a second round. Rules are asked in any case: of a block
with wrong keys a *partial* model is made, without those keys, and a rule ends where it
reads one of them, because what depends on a wrong value is no news.

It knows nothing of how a model is read: see `tailring_runtime.config.model`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError, create_model

__all__ = ["Complaint", "Partial", "broken_rules", "partial", "readable", "rule"]

# About the block as a whole, or (key, what is wrong with it).
Complaint = str | tuple[str, str]

_MARK = "tailring_rule"
RuleT = TypeVar("RuleT", bound=Callable[[Any], Iterable[Complaint]])
ModelT = TypeVar("ModelT", bound=BaseModel)


class _Unreadable(Exception):
    """Raised when a rule reads a key whose value is wrong."""


class Partial:
    """Goes before a model: a field that is not there was wrong."""

    def __getattr__(self, name: str) -> NoReturn:
        if name in getattr(type(self), "model_fields", ()):
            raise _Unreadable(name)
        raise AttributeError(name)


def rule(method: RuleT) -> RuleT:
    """Mark a method that yields what is wrong with the block; it may raise ValueError
    in place of its last complaint."""
    setattr(method, _MARK, True)
    return method


def broken_rules(model: BaseModel) -> Iterator[Complaint]:
    """What the rules of a model, or of a partial one, complain about."""
    for name in _names(type(model)):
        try:
            yield from getattr(model, name)()
        except _Unreadable:
            continue
        except ValueError as error:
            yield str(error)


def partial(
    model: type[ModelT],
    kept: Mapping[str, Any],
    *,
    wrong: Collection[str],
    context: Mapping[str, Any] | None,
) -> ModelT | None:
    """A model of those keys of ``kept`` that are not ``wrong``; None if there is none.

    Reading a wrong key of it fails; only rules and `readable` should get it.
    """
    validators = model.__pydantic_decorators__.model_validators.values()
    if any(one.info.mode == "after" for one in validators):
        # It may count on fields that would be missing.
        return None
    fields = model.model_fields
    broken = [name for name, one in fields.items() if (one.alias or name) in wrong]
    optional: dict[str, Any] = dict.fromkeys(broken, (Any, None))
    twin: Any = create_model(model.__name__, __base__=(Partial, model), **optional)
    good = {key: value for key, value in kept.items() if key not in wrong}
    try:
        found: Any = twin.model_validate(good, context=context)
    except ValidationError:
        # What is wrong has been told, by key.
        return None
    for name in broken:
        del found.__dict__[name]
    whole: ModelT = found
    return whole


def readable(answer: Callable[[], Iterable[Any]]) -> Iterator[Any]:
    """What a method of a partial model yields before it reads a wrong key."""
    try:
        yield from answer()
    except _Unreadable:
        return


def _names(model: type[BaseModel]) -> Iterator[str]:
    seen: set[str] = set()
    for base in reversed(model.__mro__):
        for name, value in vars(base).items():
            if name not in seen and hasattr(value, _MARK):
                seen.add(name)
                yield name
