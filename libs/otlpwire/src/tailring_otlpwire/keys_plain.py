"""Keys that are one field: the name of the service or metric, the id of the trace."""

from typing import Final
from zlib import crc32

from mypy_extensions import i64

from tailring_otlpwire.budget import Budget
from tailring_otlpwire.fields import Fields
from tailring_otlpwire.keys import (
    ITEM_NESTING,
    RESOURCE_ATTRIBUTE,
    RESOURCE_NESTING,
    Keys,
    heads,
)
from tailring_otlpwire.lookup import Lookup
from tailring_otlpwire.metric import METRIC_NESTING, MetricScan
from tailring_otlpwire.span import SpanScan

_SERVICE_NAME: Final = b"service.name"
_METRIC_NAME: Final = 0x0A
_RECORD_TRACE_ID: Final = 0x4A
_SEED_MAX: Final = 0xFFFFFFFF
_ZERO_ID: Final = bytes(16)


class ServiceKeys(Keys):
    """The service.name of the resource: its text, empty when it is no text.

    Where there is none, logs have the empty key, and metrics cannot be routed
    (`required`).
    """

    def __init__(self, buf: bytes, budget: Budget, required: bool) -> None:
        super().__init__(buf, budget)
        self.required = required
        self.lookup = Lookup([_SERVICE_NAME])

    def resource(self, pos: i64, end: i64) -> bytes | None:
        """Return the key of the resource in [pos, end)."""
        self.lookup.clear()
        for start, stop in heads(self.buf, pos, end, 1):
            self.lookup.read(
                self.buf, start, stop, RESOURCE_ATTRIBUTE, RESOURCE_NESTING
            )
        value = self.lookup.get(_SERVICE_NAME)
        if value is None:
            self.missing = self.required
            return b""
        self.missing = False
        return value.string(self.buf)


class MetricNameKeys(Keys):
    """The name of the metric."""

    def metric(
        self,
        pos: i64,
        end: i64,
        scan: MetricScan,  # noqa: ARG002 -- the signature of the base class
    ) -> bytes | None:
        """Return the name of the metric in [pos, end)."""
        name = b""
        fields = Fields(self.buf, pos, end, METRIC_NESTING)
        while fields.next():
            if fields.tag == _METRIC_NAME:
                name = self.buf[fields.body : fields.pos]
        return name


class SpanTraceKeys(Keys):
    """The 16 bytes of a span's trace id."""

    def item(self, pos: i64, end: i64) -> bytes:
        """Return the key of the span in [pos, end)."""
        scan = SpanScan()
        scan.read(self.buf, pos, end)
        return scan.id_in(self.buf)


class RecordTraceKeys(Keys):
    """The trace id of a record as text: 32 lower-case hexadecimal digits.

    A record without one has a made-up id, of which the first four bytes come from the
    record, its place and the caller's seed: records without an id are spread, and the
    same request is cut in the same way when it comes again with the same seed.
    """

    def __init__(self, buf: bytes, budget: Budget, seed: int) -> None:
        super().__init__(buf, budget)
        self.seed = seed

    def item(self, pos: i64, end: i64) -> bytes:
        """Return the key of the record in [pos, end)."""
        trace_id = _ZERO_ID
        fields = Fields(self.buf, pos, end, ITEM_NESTING)
        while fields.next():
            if fields.tag == _RECORD_TRACE_ID:
                trace_id = self.buf[fields.body : fields.pos]
        if trace_id == _ZERO_ID or not trace_id:
            self.seed = (self.seed + 1) & _SEED_MAX
            made_up = crc32(self.buf[pos:end], self.seed)
            return b"%08x" % made_up + b"0" * 24
        return trace_id.hex().encode()
