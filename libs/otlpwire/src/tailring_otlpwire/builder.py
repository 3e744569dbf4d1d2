"""Writing a request that takes spans out of another one.

A `RequestBuilder` collects byte ranges of the source: neighbouring spans become one
range, a header is a reference to one bytes object, and `payload()` copies everything
once. Resources and scopes are opened lazily by the first span that needs them,
therefore a builder writes none that is empty. Sizes stand before what they measure on
the wire, so a scope moves into its resource, and that into the request, when closed.
"""

from typing import Final

from mypy_extensions import i64, mypyc_attr

from tailring_otlpwire.errors import WireError
from tailring_otlpwire.fields import varint
from tailring_otlpwire.fragments import Fragments

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
        self.resource_open: bool = False
        self.scope_open: bool = False
        self._request = Fragments()
        self._resource = Fragments()
        self._scope = Fragments()
        self._run_start: i64 = 0
        self._run_end: i64 = 0

    def add(self, at: i64, end: i64) -> None:
        """Take the span whose field lies in [at, end) of the source.

        The caller has opened the scope and the resource by setting their flags.
        """
        self.spans += 1
        if at != self._run_end:
            self._end_run()
            self._run_start = at
        self._run_end = end

    def _end_run(self) -> None:
        start = self._run_start
        end = self._run_end
        if end > start:
            self._scope.add(self.buf[start:end])
        self._run_start = end

    def close_scope(self, header: bytes) -> None:
        """End the open scope; `header` is everything in it but the spans."""
        self._end_run()
        self._resource.add(_SCOPE_SPANS + varint(len(header) + self._scope.size))
        self._resource.add(header)
        self._resource.take_all(self._scope)
        self.scope_open = False

    def close_resource(self, header: bytes) -> None:
        """End the open resource; `header` is everything in it but the scopes."""
        self._request.add(_RESOURCE_SPANS + varint(len(header) + self._resource.size))
        self._request.add(header)
        self._request.take_all(self._resource)
        self.resource_open = False

    def add_unknown(self, fields: bytes) -> None:
        """Append fields of the request that are not known."""
        self._request.add(fields)

    def payload(self) -> bytes:
        """Return the request; everything must be closed."""
        return self._request.value()


def check_copies(left_bytes: i64) -> None:
    """Refuse a cut that repeats more bytes of headers than allowed."""
    if left_bytes < 0:
        raise WireError(0, "headers too large to repeat in every part")
