"""A call's arguments against a converter's parameters: positions, names, kinds."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from lark import Token, Tree

from tailring_ottl.errors import ConditionError
from tailring_ottl.parse import unquote
from tailring_ottl.registry import Converter, Param
from tailring_ottl.view import Getter

__all__ = ["bind"]

_LITERALS: dict[str, tuple[str, Callable[[str], object]]] = {
    "string": ("string", unquote),
    "int": ("int", int),
    "float": ("float", float),
    "bool": ("boolean", lambda text: text == "true"),
}


def bind(
    found: Converter,
    arguments: list[Tree[Token]],
    value: Callable[[Tree[Token]], Getter],
) -> dict[str, object]:
    """The keyword arguments of the converter's builder; ConditionError on a misfit."""
    required = sum(not param.optional for param in found.params)
    if not required <= len(arguments) <= len(found.params):
        raise ConditionError(
            f'"{found.name}": incorrect number of arguments. '
            f"Expected: {len(found.params)} Received: {len(arguments)}"
        )
    names: list[object] = [argument.children[0] for argument in arguments]
    if any(a is not None and b is None for a, b in pairwise(names)):
        raise ConditionError(f'"{found.name}": unnamed argument used after named')
    bound: dict[str, object] = {}
    for position, argument in enumerate(arguments):
        name, node = argument.children
        param = _param(found, position, name)
        assert isinstance(node, Tree)
        bound[param.name] = _argument(found.name, param, node, value)
    missing = [p.name for p in found.params if not p.optional and p.name not in bound]
    if missing:
        raise ConditionError(f'"{found.name}": {missing[0]} is missing')
    return bound


def _param(found: Converter, position: int, name: object) -> Param:
    if name is None:
        return found.params[position]
    for param in found.params:
        if param.name == name:
            return param
    raise ConditionError(f'"{found.name}": no such parameter: {name}')


def _argument(
    call: str, param: Param, node: Tree[Token], value: Callable[[Tree[Token]], Getter]
) -> object:
    if not param.list_of:
        return _single(call, param, node, value)
    if node.data != "list":
        raise ConditionError(f'"{call}": {param.name} must be a list')
    return [
        _single(call, param, item, value)
        for item in node.children
        if isinstance(item, Tree)
    ]


def _single(
    call: str, param: Param, node: Tree[Token], value: Callable[[Tree[Token]], Getter]
) -> object:
    if param.kind == "getter":
        return value(node)
    wanted, read = _LITERALS[param.kind]
    if node.data != wanted:
        raise ConditionError(f'"{call}": {param.name} must be a {param.kind}')
    return read(str(node.children[0]))
