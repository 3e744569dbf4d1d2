"""Paths of the contexts `resource`, `scope`, `span` and `spanevent`, as upstream's.

A path is a context, a field, perhaps a second field, and keys where the field is a map.
What a context does not know is refused when the condition is compiled.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any

from tailring_ottl.errors import ConditionError
from tailring_ottl.values import Opaque, Time, to_map, wrap
from tailring_ottl.view import View

__all__ = ["ENUMS", "MAPS", "nearest", "path_reader"]

Read = Callable[[View], object]

ENUMS = {
    "SPAN_KIND_UNSPECIFIED": 0,
    "SPAN_KIND_INTERNAL": 1,
    "SPAN_KIND_SERVER": 2,
    "SPAN_KIND_CLIENT": 3,
    "SPAN_KIND_PRODUCER": 4,
    "SPAN_KIND_CONSUMER": 5,
    "STATUS_CODE_UNSET": 0,
    "STATUS_CODE_OK": 1,
    "STATUS_CODE_ERROR": 2,
}
_KINDS = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")


def _kind(number: int) -> str:
    return _KINDS[number] if 0 <= number < len(_KINDS) else ""


def _old_kind(number: int) -> str:
    name = _kind(number)
    return f"SPAN_KIND_{name.upper()}" if name else ""


_RESOURCE: dict[str, Read] = {
    "attributes": lambda view: to_map(view.resource.attributes),
    "dropped_attributes_count": lambda view: view.resource.dropped_attributes_count,
    "schema_url": lambda view: view.resource_schema_url,
}
_SCOPE: dict[str, Read] = {
    "name": lambda view: view.scope.name,
    "version": lambda view: view.scope.version,
    "attributes": lambda view: to_map(view.scope.attributes),
    "dropped_attributes_count": lambda view: view.scope.dropped_attributes_count,
    "schema_url": lambda view: view.scope_schema_url,
}
_SPAN: dict[str, Read] = {
    "trace_id": lambda view: Opaque("trace_id", view.span.trace_id.ljust(16, b"\0")),
    "trace_id.string": lambda view: view.span.trace_id.ljust(16, b"\0").hex(),
    "span_id": lambda view: Opaque("span_id", view.span.span_id.ljust(8, b"\0")),
    "span_id.string": lambda view: view.span.span_id.ljust(8, b"\0").hex(),
    "parent_span_id": lambda view: Opaque(
        "span_id", view.span.parent_span_id.ljust(8, b"\0")
    ),
    "parent_span_id.string": lambda view: view.span.parent_span_id.ljust(
        8, b"\0"
    ).hex(),
    "trace_state": lambda view: view.span.trace_state,
    "name": lambda view: view.span.name,
    "kind": lambda view: view.span.kind,
    "kind.string": lambda view: _kind(view.span.kind),
    "kind.deprecated_string": lambda view: _old_kind(view.span.kind),
    "start_time_unix_nano": lambda view: wrap(view.span.start_time_unix_nano),
    "end_time_unix_nano": lambda view: wrap(view.span.end_time_unix_nano),
    "start_time": lambda view: Time(wrap(view.span.start_time_unix_nano)),
    "end_time": lambda view: Time(wrap(view.span.end_time_unix_nano)),
    "attributes": lambda view: to_map(view.span.attributes),
    "dropped_attributes_count": lambda view: view.span.dropped_attributes_count,
    "events": lambda view: Opaque("events", id(view.span)),
    "dropped_events_count": lambda view: view.span.dropped_events_count,
    "links": lambda view: Opaque("links", id(view.span)),
    "dropped_links_count": lambda view: view.span.dropped_links_count,
    "status": lambda view: Opaque("status", id(view.span)),
    "status.code": lambda view: view.span.status.code,
    "status.message": lambda view: view.span.status.message,
    "flags": lambda view: view.span.flags,
}
_EVENT: dict[str, Read] = {
    "time_unix_nano": lambda view: wrap(view.event.time_unix_nano),
    "time": lambda view: Time(wrap(view.event.time_unix_nano)),
    "name": lambda view: view.event.name,
    "attributes": lambda view: to_map(view.event.attributes),
    "dropped_attributes_count": lambda view: view.event.dropped_attributes_count,
    "event_index": lambda view: view.event_index,
}
_FIELDS = {
    "resource": _RESOURCE,
    "scope": _SCOPE,
    "instrumentation_scope": _SCOPE,
    "span": _SPAN,
    "spanevent": _EVENT,
}
MAPS: dict[str, Callable[[View], Iterable[Any]]] = {
    "resource": lambda view: view.resource.attributes,
    "scope": lambda view: view.scope.attributes,
    "instrumentation_scope": lambda view: view.scope.attributes,
    "span": lambda view: view.span.attributes,
    "spanevent": lambda view: view.event.attributes,
}


def path_reader(default: str, names: list[str]) -> tuple[str, str, Read]:
    """Context, field and reader of a dotted path; ConditionError for an unknown one.

    ``default`` is the list's own context, `span` or `spanevent`: an unprefixed path
    means it, and a span cannot ask for its events' paths.
    """
    allowed = [
        name for name in _FIELDS if default == "spanevent" or name != "spanevent"
    ]
    context, rest = (names[0], names[1:]) if names[0] in allowed else (default, names)
    field = ".".join(rest)
    read = _FIELDS[context].get(field)
    if read is None:
        known = [f"{name}.{key}" for name in allowed for key in _FIELDS[name]]
        near = nearest(f"{context}.{field}", known)
        raise ConditionError(f'"{".".join(names)}" is no path of {default}{near}')
    return context, field, read


def nearest(name: str, known: list[str]) -> str:
    """`; did you mean "x"?` for a name that is close to a known one, else nothing."""
    near = difflib.get_close_matches(name, known, n=1)
    return f'; did you mean "{near[0]}"?' if near else ""
