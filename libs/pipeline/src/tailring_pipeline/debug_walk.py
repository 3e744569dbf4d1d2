"""The way through a request that the texts of all signals take.

Items are in scopes, and those in resources. The names that upstream writes for these
levels differ by signal and verbosity, and do not follow from each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from google.protobuf.message import Message

from tailring_pipeline.debug_values import (
    heading,
    resource_lines,
    scope_heading,
    scope_lines,
)

__all__ = ["Fields", "Names", "lines_in_full", "lines_in_short"]


class Fields(NamedTuple):
    """Where a request has its resources, those their scopes, those their items."""

    resources: str
    scopes: str
    items: str


class Names(NamedTuple):
    """What the levels are called; an item has a line of its own only in full."""

    resource: str
    scope: str
    item: str = ""


def lines_in_short(
    request: Message,
    fields: Fields,
    *,
    names: Names,
    item: Callable[[Any], Iterable[str]],
) -> Iterator[str]:
    """A line for each resource and scope, and what ``item`` makes of each item."""
    for number, part in enumerate(getattr(request, fields.resources)):
        yield heading(
            names.resource, number, schema_url=part.schema_url, resource=part.resource
        )
        for place, scope in enumerate(getattr(part, fields.scopes)):
            yield scope_heading(
                names.scope, place, schema_url=scope.schema_url, scope=scope.scope
            )
            for one in getattr(scope, fields.items):
                yield from item(one)


def lines_in_full(
    request: Message,
    fields: Fields,
    *,
    names: Names,
    item: Callable[[Any], Iterable[str]],
) -> Iterator[str]:
    """All of each resource, scope and, as ``item`` says it, item."""
    for number, part in enumerate(getattr(request, fields.resources)):
        yield from resource_lines(
            names.resource, number, schema_url=part.schema_url, resource=part.resource
        )
        for place, scope in enumerate(getattr(part, fields.scopes)):
            yield from scope_lines(
                names.scope, place, schema_url=scope.schema_url, scope=scope.scope
            )
            for index, one in enumerate(getattr(scope, fields.items)):
                yield f"{names.item} #{index}"
                yield from item(one)
