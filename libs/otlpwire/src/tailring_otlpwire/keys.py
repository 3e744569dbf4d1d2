"""The routing keys of the items of one request, from the outside in.

Whoever walks through a request asks for the key of each resource, then of each scope
and metric in it, then of each item, and goes no deeper where there is one: it is the
key of everything below. A key lies as far out as it can, so that attributes of a
resource are read once and not for each item.
"""

from typing import Final

from mypy_extensions import i64

from tailring_otlpwire.budget import Budget
from tailring_otlpwire.fields import Fields
from tailring_otlpwire.metric import MetricScan

HEAD: Final = 0x0A  # the resource of a ResourceSpans, the scope of a ScopeSpans
RESOURCE_ATTRIBUTE: Final = 0x0A
SCOPE_ATTRIBUTE: Final = 0x1A

# How many messages are around the fields of each.
RESOURCE_NESTING: Final = 2
SCOPE_NESTING: Final = 3
ITEM_NESTING: Final = 3


class Keys:
    """The keys of one rule; `buf` is the request.

    `missing` says after `resource` that nothing below it can be routed.
    """

    def __init__(self, buf: bytes, budget: Budget) -> None:
        self.buf = buf
        self.budget = budget
        self.missing: bool = False

    # Each of these three begins a part of the request, and the default goes deeper.

    def resource(
        self,
        pos: i64,  # noqa: ARG002 -- for those that look
        end: i64,  # noqa: ARG002 -- the same
    ) -> bytes | None:
        """Begin the resource in [pos, end) and return its key, if it has one."""
        return None

    def scope(
        self,
        pos: i64,  # noqa: ARG002 -- for those that look
        end: i64,  # noqa: ARG002 -- the same
    ) -> bytes | None:
        """Begin the scope in [pos, end) of that resource, as `resource` does."""
        return None

    def metric(
        self,
        pos: i64,  # noqa: ARG002 -- for those that look
        end: i64,  # noqa: ARG002 -- the same
        scan: MetricScan,  # noqa: ARG002 -- the same
    ) -> bytes | None:
        """Begin the metric in [pos, end) of that scope, which `scan` has read."""
        return None

    def item(
        self,
        pos: i64,  # noqa: ARG002 -- for those that look
        end: i64,  # noqa: ARG002 -- the same
    ) -> bytes:
        """Return the key of the span, record or point in [pos, end).

        Only asked for where nothing around it had a key.
        """
        return b""


def heads(buf: bytes, pos: i64, end: i64, nesting: i64) -> list[tuple[i64, i64]]:
    """Return where the resource of a ResourceSpans, or the scope of a ScopeSpans, lies.

    Mostly once; what is there several times is one message, as protobuf merges it.
    """
    found: list[tuple[i64, i64]] = []
    fields = Fields(buf, pos, end, nesting)
    while fields.next():
        if fields.tag == HEAD:
            found.append((fields.body, fields.pos))
    return found
