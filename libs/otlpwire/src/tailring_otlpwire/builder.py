"""Writing a request that takes spans out of another one, without copying headers.

A `RequestBuilder` collects byte ranges of the source: neighbouring spans become one
range, a header is a reference to one bytes object, and only `payload()` copies, once.
Resources and scopes are opened lazily by the first span that needs them, therefore a
builder writes none that is empty.

Sizes stand before what they measure on the wire, so places are kept in the list of
fragments and filled in when a scope or a resource is closed.
"""

from typing import Final

from mypy_extensions import i64, mypyc_attr

from tailring_otlpwire.errors import WireError
from tailring_otlpwire.fields import varint

COPIES_BYTES_MAX: Final = 256 * 1024 * 1024

_RESOURCE_SPANS: Final = b"\x0a"
_SCOPE_SPANS: Final = b"\x12"


@mypyc_attr(acyclic=True)
class RequestBuilder:
    """One request in the making; `buf` is the source of its spans."""

    def __init__(self, buf: bytes, owner: i64) -> None:
        self.buf = buf
        self.owner: i64 = owner
        self.spans: i64 = 0
        self.total_bytes: i64 = 0
        self.resource_open: bool = False
        self.scope_open: bool = False
        self._out: list[bytes] = []
        self._resource_place: i64 = 0
        self._resource_bytes: i64 = 0
        self._scope_place: i64 = 0
        self._scope_bytes: i64 = 0
        self._run_start: i64 = 0
        self._run_end: i64 = 0

    def open_resource(self) -> None:
        """Keep a place for a resource; its scopes follow."""
        self.resource_open = True
        self._resource_place = len(self._out)
        self._resource_bytes = 0
        self._out.append(b"")
        self._out.append(b"")

    def open_scope(self) -> None:
        """Keep a place for a scope; its spans follow."""
        self.scope_open = True
        self._scope_place = len(self._out)
        self._scope_bytes = 0
        self._run_start = 0
        self._run_end = 0
        self._out.append(b"")
        self._out.append(b"")

    def add(self, at: i64, end: i64) -> None:
        """Take the span whose field lies in [at, end) of the source."""
        self.spans += 1
        if at != self._run_end:
            self._end_run()
            self._run_start = at
        self._run_end = end

    def _end_run(self) -> None:
        start = self._run_start
        end = self._run_end
        if end > start:
            self._out.append(self.buf[start:end])
            self._scope_bytes += end - start

    def close_scope(self, header: bytes) -> None:
        """End the open scope; `header` is everything in it but the spans."""
        self._end_run()
        size = self._scope_bytes + len(header)
        prefix = _SCOPE_SPANS + varint(size)
        self._out[self._scope_place] = prefix
        self._out[self._scope_place + 1] = header
        self._resource_bytes += size + len(prefix)
        self.scope_open = False

    def close_resource(self, header: bytes) -> None:
        """End the open resource; `header` is everything in it but the scopes."""
        size = self._resource_bytes + len(header)
        prefix = _RESOURCE_SPANS + varint(size)
        self._out[self._resource_place] = prefix
        self._out[self._resource_place + 1] = header
        self.total_bytes += size + len(prefix)
        self.resource_open = False

    def add_unknown(self, field: bytes) -> None:
        """Append a field of the request that is not known."""
        self._out.append(field)
        self.total_bytes += len(field)

    def payload(self) -> bytes:
        """Return the request; everything must be closed."""
        return b"".join(self._out)


def check_copies(extra_bytes: i64, copies_bytes_max: i64) -> None:
    """Refuse a cut that would repeat more bytes of headers than allowed."""
    if extra_bytes > copies_bytes_max:
        raise WireError(0, "headers too large to repeat in every part")
