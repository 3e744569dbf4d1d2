"""The parts of a request that is being cut: a builder for each owner that has items.

The owner of a key is table[crc32(key) % len(table)], which is the look-up in the
expanded hash ring. A resource or scope is opened in a builder by the first item of its
owner and closed in all that have it open, with one header that is read only then.
"""

from collections.abc import Callable
from zlib import crc32

from mypy_extensions import i64, mypyc_attr

from tailring_otlpwire.budget import Budget
from tailring_otlpwire.builder import RequestBuilder
from tailring_otlpwire.header import header


@mypyc_attr(acyclic=True)
class Part:
    """The items of one owner as a request of their own."""

    def __init__(self, owner: int, payload: bytes, items: int) -> None:
        self.owner = owner
        self.payload = payload
        self.items = items

    @property
    def spans(self) -> int:
        """The number of items of a request of traces."""
        return self.items


@mypyc_attr(allow_interpreted_subclasses=False)
class Owners:
    """The builders of one request; raises ValueError for a table without owners."""

    def __init__(self, buf: bytes, table: list[int], copies_bytes_max: int) -> None:
        if not table:
            raise ValueError("the table of owners is empty")
        self.buf = buf
        self.table = table
        self.positions: i64 = len(table)
        self.budget = Budget(copies_bytes_max)
        self.checksum: Callable[[bytes], int] = crc32
        self.by_owner: list[RequestBuilder | None] = []
        self.builders: list[RequestBuilder] = []
        self.in_resource: list[RequestBuilder] = []
        self.in_scope: list[RequestBuilder] = []

    def owner_of(self, key: bytes) -> RequestBuilder:
        """Return the builder of the key's owner."""
        position: i64 = self.checksum(key) % self.positions
        owner: i64 = self.table[position]
        builder: RequestBuilder | None = None
        if 0 <= owner < len(self.by_owner):
            builder = self.by_owner[owner]
        if builder is None:
            builder = self._new_builder(owner)
        return builder

    def _new_builder(self, owner: i64) -> RequestBuilder:
        if owner < 0:
            raise ValueError("an owner in the table is negative")
        while len(self.by_owner) <= owner:
            self.by_owner.append(None)
        builder = RequestBuilder(self.buf, owner)
        self.by_owner[owner] = builder
        self.builders.append(builder)
        return builder

    def open_resource(self, builder: RequestBuilder) -> None:
        """Have the resource that is being read open in a builder."""
        if not builder.resource_open:
            builder.resource_open = True
            self.in_resource.append(builder)

    def open(self, builder: RequestBuilder) -> None:
        """Have the scope that is being read open in a builder."""
        if not builder.scope_open:
            self.open_resource(builder)
            builder.scope_open = True
            self.in_scope.append(builder)

    def close_scope(self, pos: i64, end: i64) -> None:
        """End the scope in [pos, end) wherever it is open."""
        if self.in_scope:
            head = header(self.buf, pos, end, 2)
            self.budget.charge(len(head) * (len(self.in_scope) - 1))
            for builder in self.in_scope:
                builder.close_scope(head)
            self.in_scope = []

    def close_resource(self, pos: i64, end: i64) -> None:
        """End the resource in [pos, end) wherever it is open."""
        if self.in_resource:
            head = header(self.buf, pos, end, 1)
            self.budget.charge(len(head) * (len(self.in_resource) - 1))
            for builder in self.in_resource:
                builder.close_resource(head)
            self.in_resource = []

    def parts(self, whole: bool) -> list[Part]:
        """Return the parts in the order of their first items.

        `whole` says that no item was left out: with a single owner the source is the
        part then.
        """
        buf = self.buf
        builders = self.builders
        if whole and len(builders) == 1:
            return [Part(builders[0].owner, buf, builders[0].items)]
        if builders:
            builders[0].add_unknown(header(buf, 0, len(buf), 0))
        return [Part(each.owner, each.payload(), each.items) for each in builders]
