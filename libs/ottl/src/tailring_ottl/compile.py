"""A condition's text compiled once to one closure over a `View`.

Everything that the text alone can decide (syntax, names, arity) is refused here with
ConditionError; what depends on a span raises EvalError when the closure runs. `and` and
`or` stop early, from left to right; literal parts are folded first, as upstream does,
so that `x == 1 and false` never evaluates `x`.
"""

from __future__ import annotations

from collections.abc import Callable

from lark import Token, Tree

import tailring_ottl.functions  # noqa: F401  the converters declare themselves
from tailring_ottl.arithmetic import calculate, negate
from tailring_ottl.calls import bind
from tailring_ottl.compare import compare
from tailring_ottl.errors import ConditionError, EvalError
from tailring_ottl.keys import indexed, map_key, value_at
from tailring_ottl.parse import parse, unquote
from tailring_ottl.paths import ENUMS, MAPS, nearest, path_reader
from tailring_ottl.registry import known
from tailring_ottl.values import find
from tailring_ottl.view import Getter, View, constant

__all__ = ["Condition", "compile_condition"]

Node = Tree[Token]
Condition = Callable[[View], bool]
_BOOLEAN = {"disjunction", "conjunction", "negated", "comparison"}


def compile_condition(text: str, context: str) -> Condition:
    """The condition of a `span` or `spanevent` list; ConditionError says what is wrong.

    The closure answers for one view, or raises EvalError.
    """
    assert context in ("span", "spanevent")
    root = parse(text).children[0]
    assert isinstance(root, Tree)
    return _Compiler(context).truth(root).run


class _Truth:
    """A compiled condition; ``fixed`` is its answer where no span is needed."""

    __slots__ = ("fixed", "run")

    def __init__(self, run: Condition, fixed: bool | None = None) -> None:
        self.run = run
        self.fixed = fixed


def _fixed(answer: bool) -> _Truth:
    return _Truth(lambda _view: answer, answer)


class _Compiler:
    """Compiles the nodes of one list's conditions; knows its context and converters."""

    def __init__(self, context: str) -> None:
        self._context = context
        self._converters = known(context)

    def truth(self, node: Node) -> _Truth:
        """A node as a condition; ConditionError where it is only a value."""
        kind, parts = node.data, [part for part in node.children if _is_tree(part)]
        if kind == "group":
            return self.truth(_tree(node.children[0]))
        if kind in ("disjunction", "conjunction"):
            return _joined([self.truth(_tree(part)) for part in parts], kind)
        if kind == "negated":
            return _negated(self.truth(_tree(node.children[1])))
        if kind == "comparison":
            return self._comparison(node)
        if kind == "boolean":
            return _fixed(node.children[0] == "true")
        if kind == "call":
            return _asked(self.value(node))
        raise ConditionError(f"a value{_at(node)} is no condition: compare it")

    def value(self, node: Node) -> Getter:
        """A node as a value; ConditionError where it is a condition."""
        if node.data in _BOOLEAN:
            raise ConditionError(f"a condition{_at(node)} stands where a value must")
        made: Getter = getattr(self, f"_{node.data}")(node)
        return made

    def _comparison(self, node: Node) -> _Truth:
        left, op, right = node.children
        a, b, sign = self.value(_tree(left)), self.value(_tree(right)), str(op)
        if a.literal and b.literal:
            nothing = View(None, None, None)
            return _fixed(compare(a.get(nothing), b.get(nothing), sign))
        first, second = a.get, b.get
        return _Truth(lambda view: compare(first(view), second(view), sign))

    def _group(self, node: Node) -> Getter:
        return self.value(_tree(node.children[0]))

    def _sum(self, node: Node) -> Getter:
        made = self.value(_tree(node.children[0]))
        for op, part in zip(node.children[1::2], node.children[2::2], strict=True):
            made = _calculated(made, str(op), self.value(_tree(part)))
        return made

    _product = _sum

    def _signed(self, node: Node) -> Getter:
        sign, atom = node.children
        inner = _tree(atom)
        if inner.data not in ("int", "float", "path", "call", "group"):
            raise ConditionError(f"only numbers have a sign{_at(node)}")
        made = self.value(inner)
        if sign == "+":
            return made
        if inner.data in ("int", "float"):
            return constant(negate(made.get(View(None, None, None))))
        get = made.get
        return Getter(lambda view: negate(get(view)))

    def _int(self, node: Node) -> Getter:
        digits = str(node.children[0])
        number = int(digits) if len(digits) < 40 else 2**63
        if number >= 2**63:
            raise ConditionError(f"the integer{_at(node)} has more than 64 bits")
        return constant(number)

    def _float(self, node: Node) -> Getter:
        number = float(str(node.children[0]))
        if number == float("inf"):
            raise ConditionError(f"the float{_at(node)} is out of range")
        return constant(number)

    def _bytes(self, node: Node) -> Getter:
        digits = str(node.children[0])[2:]
        if len(digits) % 2:
            raise ConditionError(f"bytes{_at(node)} need an even number of digits")
        return constant(bytes.fromhex(digits))

    def _string(self, node: Node) -> Getter:
        return constant(unquote(str(node.children[0])))

    def _nil(self, _node: Node) -> Getter:
        return constant(None)

    def _boolean(self, node: Node) -> Getter:
        return constant(node.children[0] == "true")

    def _symbol(self, node: Node) -> Getter:
        name = str(node.children[0])
        if name not in ENUMS:
            near = nearest(name, list(ENUMS))
            raise ConditionError(f"enum symbol {name}{_at(node)} not found{near}")
        return constant(ENUMS[name])

    def _list(self, node: Node) -> Getter:
        items = [self.value(_tree(part)) for part in node.children if _is_tree(part)]
        gets = [item.get for item in items]
        literal = all(item.literal for item in items)
        return Getter(lambda view: [get(view) for get in gets], literal)

    def _map(self, node: Node) -> Getter:
        made: dict[str, Getter] = {}
        for item in node.children:
            key, part = _tree(item).children
            made[unquote(str(key))] = self.value(_tree(part))
        literal = all(getter.literal for getter in made.values())
        gets = {key: getter.get for key, getter in made.items()}
        return Getter(
            lambda view: {key: get(view) for key, get in gets.items()}, literal
        )

    def _call(self, node: Node) -> Getter:
        name, *rest = node.children
        found = self._converters.get(str(name))
        if found is None:
            near = nearest(str(name), list(self._converters))
            raise ConditionError(f'undefined function "{name}"{_at(node)}{near}')
        trees = [_tree(part) for part in rest if _is_tree(part)]
        arguments = [part for part in trees if part.data == "argument"]
        get = found.build(**bind(found, arguments, self.value))
        keys = self._keys([part for part in trees if part.data == "key"])
        if not keys:
            return Getter(get)
        return Getter(lambda view: indexed(get(view), keys, view))

    def _path(self, node: Node) -> Getter:
        fields = [_tree(part) for part in node.children]
        names = [str(field.children[0]) for field in fields]
        try:
            context, field, read = path_reader(self._context, names)
        except ConditionError as error:
            raise ConditionError(f"{error}{_at(node)}") from error
        keys = self._keys([_tree(key) for key in fields[-1].children[1:]])
        if any(len(part.children) > 1 for part in fields[:-1]):
            raise ConditionError(f"only the last field{_at(node)} can have keys")
        if not keys:
            return Getter(read)
        if field != "attributes":
            raise ConditionError(f"{'.'.join(names)}{_at(node)} has no keys")
        pairs, first, others = MAPS[context], keys[0], keys[1:]

        def look(view: View) -> object:
            """The attribute's value, or what the further keys find in it."""
            found = find(pairs(view), map_key(first, view))
            return value_at(found, others, view)

        return Getter(look)

    def _keys(self, nodes: list[Node]) -> list[Getter]:
        return [self.value(_tree(node.children[0])) for node in nodes]


def _joined(parts: list[_Truth], kind: str) -> _Truth:
    decides = kind == "disjunction"
    if any(part.fixed is decides for part in parts):
        return _fixed(decides)
    runs = [part.run for part in parts if part.fixed is None]
    if not runs:
        return _fixed(not decides)
    if len(runs) == 1:
        return _Truth(runs[0])
    if decides:
        return _Truth(lambda view: any(run(view) for run in runs))
    return _Truth(lambda view: all(run(view) for run in runs))


def _negated(part: _Truth) -> _Truth:
    if part.fixed is not None:
        return _fixed(not part.fixed)
    run = part.run
    return _Truth(lambda view: not run(view))


def _asked(getter: Getter) -> _Truth:
    get = getter.get

    def ask(view: View) -> bool:
        """The converter's answer, which must be a bool."""
        answer = get(view)
        if not isinstance(answer, bool):
            raise EvalError(
                "value returned from Converter in constant expression must be bool "
                f"but got {type(answer).__name__}"
            )
        return answer

    return _Truth(ask)


def _calculated(left: Getter, op: str, right: Getter) -> Getter:
    first, second = left.get, right.get
    return Getter(lambda view: calculate(first(view), second(view), op))


def _is_tree(part: object) -> bool:
    return isinstance(part, Tree)


def _tree(part: object) -> Node:
    assert isinstance(part, Tree)
    return part


def _at(node: Node) -> str:
    return f" at {node.meta.line}:{node.meta.column}" if not node.meta.empty else ""
