"""The router's debug pages: the rings, and the backends as they are now.

``ringz`` answers which backend owns a key: ``?trace_id=<32 hex digits>`` for traces
that are routed by trace id, ``?key=<text>`` for any other routing key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, fields
from typing import Protocol

from tailring_router.backend_state import BackendState
from tailring_router.topology import Topology
from tailring_runtime.pages import BadQuery, Page, Pages, Table

__all__ = ["Balancing", "add_router_pages"]

_TRACE_ID_CHARS = 32


class Balancing(Protocol):
    """What the pages ask of a load-balancing exporter."""

    @property
    def title(self) -> str:
        """Its id and signal."""

    @property
    def topology(self) -> Topology:
        """The ring of now."""

    def states(self) -> list[BackendState]:
        """Its backends, those that are being drained too."""


def add_router_pages(
    pages: Pages, exporters: Callable[[], Iterable[Balancing]]
) -> None:
    """Add ``ringz`` and ``backendz`` over what ``exporters`` answers at the time."""

    def ringz(query: Mapping[str, str]) -> Page:
        """Every ring, and the owner of the key that was asked for."""
        key = _key(query)
        every = list(exporters())
        facts = {f"{one.title}: owner": _owner(one.topology, key) for one in every}
        tables = tuple(table for one in every for table in _ring_tables(one))
        return Page("Rings", facts=facts if key is not None else {}, tables=tables)

    def backendz(_query: Mapping[str, str]) -> Page:
        """Every backend of every exporter."""
        return Page("Backends", tables=tuple(_backends(one) for one in exporters()))

    pages.add(
        "ringz",
        ringz,
        about="who owns which keys; ?trace_id=<hex> or ?key=<text> asks for one",
    )
    pages.add("backendz", backendz, about="state, queue and answers of each backend")


def _key(query: Mapping[str, str]) -> bytes | None:
    if "key" in query:
        return query["key"].encode()
    if "trace_id" not in query:
        return None
    text = query["trace_id"]
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(text) != _TRACE_ID_CHARS or not found:
        raise BadQuery(f"trace_id must be {_TRACE_ID_CHARS} hex digits, not {text!r}")
    return found


def _owner(topology: Topology, key: bytes | None) -> str:
    name = None if key is None else topology.ring.owner(key)
    return "nobody: there is no backend" if name is None else name


def _ring_tables(one: Balancing) -> tuple[Table, Table]:
    ring = one.topology.ring
    facts = (
        ("generation", ring.generation),
        ("digest", one.topology.digest),
        ("members", len(ring.members)),
        ("points", len(ring.items())),
        ("positions", ring.positions_max),
    )
    mean = 1 / max(1, len(ring.members))
    rows = tuple(
        (name, one.topology.address_of[name], share, share / mean)
        for name, share in ring.shares().items()
    )
    columns = ("ring name", "address", "share of keys", "over the mean")
    return (
        Table(f"{one.title}: ring", ("fact", "value"), facts),
        Table(f"{one.title}: members", columns, rows),
    )


def _backends(one: Balancing) -> Table:
    columns = tuple(field.name for field in fields(BackendState))
    rows = tuple(astuple(state) for state in one.states())
    return Table(one.title, columns, rows)
