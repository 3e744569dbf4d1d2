"""What the texts of all signals share: values, attributes, resources and scopes.

The layout and the way in which numbers are written are the collector's.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal

from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    InstrumentationScope,
    KeyValue,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

__all__ = [
    "attribute_lines",
    "fixed",
    "heading",
    "pairs",
    "resource_lines",
    "scope_heading",
    "scope_lines",
    "shortest",
    "text_of_value",
    "time_text",
    "typed",
    "word",
]

VALUE_NAMES = {
    "string_value": "Str", "bool_value": "Bool", "int_value": "Int",
    "double_value": "Double", "array_value": "Slice", "kvlist_value": "Map",
    "bytes_value": "Bytes",
}  # fmt: skip


class _NoJson(Exception):
    """Raised for a number that JSON has not; the whole text is empty then."""


def text_of_value(value: AnyValue) -> str:
    """An attribute value as plain text; containers as JSON, bytes as base64."""
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case "double_value" if not math.isfinite(value.double_value):
            return _not_finite(value.double_value, plus="")
        case None:
            return ""
    try:
        return _json(value)
    except _NoJson:
        return ""


def _json(value: AnyValue) -> str:
    match value.WhichOneof("value"):
        case "array_value":
            return f"[{','.join(map(_json, value.array_value.values))}]"
        case "kvlist_value":
            members = {one.key: _json(one.value) for one in value.kvlist_value.values}
            listed = (f"{_quoted(key)}:{members[key]}" for key in sorted(members))
            return f"{{{','.join(listed)}}}"
        case "bytes_value":
            return _quoted(base64.b64encode(value.bytes_value).decode())
        case "double_value":
            return _decimal(value.double_value)
        case "string_value":
            return _quoted(value.string_value)
        case "bool_value":
            return "true" if value.bool_value else "false"
        case "int_value":
            return str(value.int_value)
        case _:
            return "null"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _decimal(number: float) -> str:
    """As ECMAScript has it: plain notation where that is not absurdly long."""
    if not math.isfinite(number):
        raise _NoJson
    sign, digits, exponent = _digits(number)
    if number and not -6 <= exponent < 21:
        return f"{sign}{_scientific(digits, exponent, 1)}"
    return f"{sign}{_plain(digits, exponent)}"


def shortest(number: float) -> str:
    """As Go's %v has it: six digits before the point at most."""
    if not math.isfinite(number):
        return _not_finite(number, plus="+").replace("Infinity", "Inf")
    sign, digits, exponent = _digits(number)
    if number and not -5 < exponent < 6:
        return f"{sign}{_scientific(digits, exponent, 2)}"
    return f"{sign}{_plain(digits, exponent)}"


def fixed(number: float) -> str:
    """As Go's %f has it: six digits behind the point."""
    if not math.isfinite(number):
        return _not_finite(number, plus="+").replace("Infinity", "Inf")
    return f"{number:f}"


def _not_finite(number: float, *, plus: str) -> str:
    if math.isnan(number):
        return "NaN"
    return f"{plus}Infinity" if number > 0 else "-Infinity"


def _digits(number: float) -> tuple[str, str, int]:
    """Sign, the fewest digits that mean this number, and the exponent of the first."""
    negative, parts, exponent = Decimal(repr(number)).as_tuple()
    digits = "".join(map(str, parts)).lstrip("0")
    assert isinstance(exponent, int), "the number is finite"
    first = exponent + len(digits) - 1 if digits else 0
    return "-" if negative else "", digits.rstrip("0") or "0", first


def _plain(digits: str, exponent: int) -> str:
    if exponent < 0:
        return f"0.{'0' * (-exponent - 1)}{digits}"
    whole = digits[: exponent + 1].ljust(exponent + 1, "0")
    fraction = digits[exponent + 1 :]
    return f"{whole}.{fraction}" if fraction else whole


def _scientific(digits: str, exponent: int, width: int) -> str:
    fraction = f".{digits[1:]}" if digits[1:] else ""
    sign = "-" if exponent < 0 else "+"
    return f"{digits[0]}{fraction}e{sign}{abs(exponent):0{width}d}"


# ---------------------------------------------------------------- a line for each item


def heading(name: str, index: int, *, schema_url: str, resource: Resource) -> str:
    """The line of a resource."""
    schema = f" [{schema_url}]" if schema_url else ""
    return f"{name} #{index}{schema}{pairs(resource.attributes)}"


def scope_heading(
    name: str, index: int, *, schema_url: str, scope: InstrumentationScope
) -> str:
    """The line of a scope."""
    version = f"@{scope.version}" if scope.version else ""
    words = [f"{scope.name}{version}", f"[{schema_url}]" if schema_url else ""]
    named = "".join(f" {one}" for one in words if one)
    return f"{name} #{index}{named}{pairs(scope.attributes)}"


def pairs(attributes: Iterable[KeyValue]) -> str:
    """Attributes in one line, each with a space before it."""
    return "".join(f" {one.key}={text_of_value(one.value)}" for one in attributes)


# ---------------------------------------------------------------- everything


def resource_lines(
    name: str, index: int, *, schema_url: str, resource: Resource
) -> Iterator[str]:
    """All of a resource."""
    yield f"{name} #{index}"
    yield f"Resource SchemaURL: {schema_url}"
    yield from attribute_lines("Resource attributes", resource.attributes)
    for number, ref in enumerate(resource.entity_refs):
        if number == 0:
            yield "Resource entity refs:"
        yield f"     -> Entity ref #{number}:"
        yield f"          -> Type: {ref.type}"
        yield f"          -> Schema URL: {ref.schema_url}"
        yield "          -> ID keys:"
        yield from (f"               -> {key}" for key in ref.id_keys)
        if ref.description_keys:
            yield "          -> Description keys:"
            yield from (f"               -> {key}" for key in ref.description_keys)


def scope_lines(
    name: str, index: int, *, schema_url: str, scope: InstrumentationScope
) -> Iterator[str]:
    """All of a scope."""
    yield f"{name} #{index}"
    yield f"{name} SchemaURL: {schema_url}"
    yield f"InstrumentationScope {scope.name} {scope.version}"
    yield from attribute_lines("InstrumentationScope attributes", scope.attributes)


def attribute_lines(header: str, attributes: Iterable[KeyValue]) -> Iterator[str]:
    """A line for each attribute under ``header``, and as deep in as that is."""
    indent = "     " if header.startswith(" ") else ""
    for index, one in enumerate(attributes):
        if index == 0:
            yield f"{header}:"
        yield f"{indent}     -> {one.key}: {typed(one.value)}"


def typed(value: AnyValue) -> str:
    """A value and the name of its type."""
    kind = value.WhichOneof("value")
    if kind is None:
        return "Empty()"
    return f"{VALUE_NAMES.get(kind, kind)}({text_of_value(value)})"


def word(words: tuple[str, ...], number: int, *, other: str | None = None) -> str:
    """The name of a number of an enum; ``other`` (the number) when it has none."""
    if 0 <= number < len(words):
        return words[number]
    return str(number) if other is None else other


def time_text(unix_ns: int) -> str:
    """A point in time as Go prints it."""
    seconds, fraction_ns = divmod(unix_ns, 1_000_000_000)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError):
        return f"{unix_ns} ns"
    fraction = f".{fraction_ns:09d}".rstrip("0") if fraction_ns else ""
    return f"{moment:%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC"
