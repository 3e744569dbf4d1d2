"""Keys out of attributes: `name=value|` for each name, `name=|` where there is none.

An attribute is looked for in the resource, then in the scope, then in the item, which
has pseudo-attributes too: `span.kind` and `span.name` before the attributes of a span,
`log.severity` and `log.body` before those of a record. Below traces the key has the
names in the order that was configured. Below logs and metrics those found in the
resource come first, then those of the scope, then those of the item.

What the resource and the scope give is repeated in the key of each item, and charged to
the budget, because a hostile request has one huge value above many small items.
"""

from typing import Final

from mypy_extensions import i64

from tailring_otlpwire.budget import Budget
from tailring_otlpwire.fields import Fields, read_int32
from tailring_otlpwire.keys import (
    ITEM_NESTING,
    RESOURCE_ATTRIBUTE,
    RESOURCE_NESTING,
    SCOPE_ATTRIBUTE,
    SCOPE_NESTING,
    Keys,
    heads,
)
from tailring_otlpwire.lookup import Lookup
from tailring_otlpwire.metric import POINT_NESTING, MetricScan, point_attribute_tag
from tailring_otlpwire.values import Value, text_of

_SPAN_NAME: Final = 0x2A
_SPAN_KIND: Final = 0x30
_SPAN_ATTRIBUTE: Final = 0x4A
_KINDS: Final = (
    b"Unspecified",
    b"Internal",
    b"Server",
    b"Client",
    b"Producer",
    b"Consumer",
)
_SEVERITY_TEXT: Final = 0x1A
_BODY: Final = 0x2A
_RECORD_ATTRIBUTE: Final = 0x32


class AttributeKeys(Keys):
    """What the three kinds have in common: resource and scope.

    `parts` has the text of each name that was found so far, `pending` the places of the
    others, `head` the found texts in the order of their levels.
    """

    def __init__(self, buf: bytes, budget: Budget, names: list[bytes]) -> None:
        super().__init__(buf, budget)
        self.names = names
        self.lookup = Lookup(names)
        self.above: list[bytes] = []  # the parts that the resource gives
        self.above_head = b""
        self.parts: list[bytes] = []
        self.pending: list[int] = []
        self.head = b""

    def resource(self, pos: i64, end: i64) -> bytes | None:
        """Find what the resource has; its key when that is everything."""
        self.lookup.clear()
        for start, stop in heads(self.buf, pos, end, 1):
            self.read(start, stop, RESOURCE_ATTRIBUTE, RESOURCE_NESTING)
        self.parts = [b""] * len(self.names)
        self.pending = list(range(len(self.names)))
        self.head = self.take_found()
        self.above = self.parts
        self.above_head = self.head
        return None if self.pending else self.head

    def scope(self, pos: i64, end: i64) -> bytes | None:
        """Find what the scope has; its key when nothing is missing then."""
        self.lookup.clear()
        for start, stop in heads(self.buf, pos, end, 2):
            self.read(start, stop, SCOPE_ATTRIBUTE, SCOPE_NESTING)
        self.parts = list(self.above)
        self.pending = [place for place, part in enumerate(self.parts) if not part]
        self.head = self.above_head + self.take_found()
        return None if self.pending else self.complete()

    def read(self, pos: i64, end: i64, tag: i64, nesting: i64) -> None:
        """Look at the attributes of the message in [pos, end)."""
        self.lookup.read(self.buf, pos, end, tag, nesting)

    def take_found(self) -> bytes:
        """Make parts of what was found of the pending names, and return them joined."""
        still: list[int] = []
        found: list[bytes] = []
        for place in self.pending:
            name = self.names[place]
            value = self.lookup.get(name)
            if value is None:
                still.append(place)
                continue
            part = name + b"=" + text_of(self.buf, value) + b"|"
            self.parts[place] = part
            found.append(part)
        self.pending = still
        return b"".join(found)

    def complete(self) -> bytes:
        """Return the key when nothing is pending."""
        return self.head

    def part(self, name: bytes) -> bytes:
        """Return the part of a name once the attributes of the item were read."""
        value = self.lookup.get(name)
        text = b"" if value is None else text_of(self.buf, value)
        return name + b"=" + text + b"|"


class SpanKeys(AttributeKeys):
    """Keys of spans. Those of one trace below one scope share that of the first."""

    def complete(self) -> bytes:
        """Return the key when nothing is pending."""
        return b"".join(self.parts)

    def item(self, pos: i64, end: i64) -> bytes:
        """Return the key of the span in [pos, end)."""
        self.budget.charge(len(self.head))
        self.lookup.clear()
        name = b""
        kind: i64 = 0
        fields = Fields(self.buf, pos, end, ITEM_NESTING)
        while fields.next():
            if fields.tag == _SPAN_ATTRIBUTE:
                self.lookup.add(self.buf, fields)
            elif fields.tag == _SPAN_NAME:
                name = self.buf[fields.body : fields.pos]
            elif fields.tag == _SPAN_KIND:
                kind, _ = read_int32(self.buf, fields.body, fields.pos)
        parts = list(self.parts)
        for place in self.pending:
            wanted = self.names[place]
            if wanted == b"span.kind":
                text = _KINDS[kind] if 0 <= kind < len(_KINDS) else b""
                parts[place] = b"span.kind=" + text + b"|"
            elif wanted == b"span.name":
                parts[place] = b"span.name=" + name + b"|"
            else:
                parts[place] = self.part(wanted)
        return b"".join(parts)


class RecordKeys(AttributeKeys):
    """Keys of log records."""

    def item(self, pos: i64, end: i64) -> bytes:
        """Return the key of the record in [pos, end)."""
        self.budget.charge(len(self.head))
        self.lookup.clear()
        severity = b""
        body = Value(ITEM_NESTING + 1)
        fields = Fields(self.buf, pos, end, ITEM_NESTING)
        while fields.next():
            if fields.tag == _RECORD_ATTRIBUTE:
                self.lookup.add(self.buf, fields)
            elif fields.tag == _SEVERITY_TEXT:
                severity = self.buf[fields.body : fields.pos]
            elif fields.tag == _BODY:
                body.read(self.buf, fields.body, fields.pos)
        key = self.head
        for place in self.pending:
            wanted = self.names[place]
            if wanted == b"log.severity":
                key += b"log.severity=" + severity + b"|"
            elif wanted == b"log.body":
                key += b"log.body=" + text_of(self.buf, body) + b"|"
            else:
                key += self.part(wanted)
        return key


class PointKeys(AttributeKeys):
    """Keys of data points."""

    def __init__(self, buf: bytes, budget: Budget, names: list[bytes]) -> None:
        super().__init__(buf, budget, names)
        self.tag: i64 = 0

    def metric(
        self,
        pos: i64,  # noqa: ARG002 -- the signature of the base class
        end: i64,  # noqa: ARG002 -- the same
        scan: MetricScan,
    ) -> bytes | None:
        """Note where the points of this metric have their attributes."""
        self.tag = point_attribute_tag(scan.tag)
        return None

    def item(self, pos: i64, end: i64) -> bytes:
        """Return the key of the point in [pos, end)."""
        self.budget.charge(len(self.head))
        self.lookup.clear()
        self.read(pos, end, self.tag, POINT_NESTING)
        key = self.head
        for place in self.pending:
            key += self.part(self.names[place])
        return key
