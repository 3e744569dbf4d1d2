"""The batches that kept traces leave in, and the requests that are made of them.

What it is: traces that are sent together, how many bytes they will be on the wire, and
who has not answered for each of them.

Rules:

* The size of a batch counts each distinct resource and scope once, as the request does
  that is made of it. It is never below the size of that request.
* A trace above the bound is alone in its batch and leaves in several requests, each of
  which can be sent again alone. They are cut between its pieces, each when it is sent,
  so that the event loop runs in between. A single span can exceed the bound, and a
  request of large headers: repeated, they take at most as many bytes as the trace.
* A trace is done when every branch has answered for it, delivered or not.

It knows no consumer and sends nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from tailring_otlpwire import Piece, join
from tailring_pipeline import Batch, cut_batch
from tailring_sampler.sampler import KeptTrace

__all__ = ["HeldTrace", "ReleaseBatch"]

# Tag and length of a resource or a scope around its content.
HEADER_FRAME_BYTES: Final = 6


class HeldTrace:
    """A kept trace on its way, and what is still owed for it."""

    __slots__ = ("branches_left", "reason", "size_bytes", "spans_lost", "trace")

    def __init__(self, trace: KeptTrace, *, size_bytes: int, branches: int) -> None:
        self.trace = trace
        # What it adds to its batch: spans, and the headers that it is the first with.
        self.size_bytes = size_bytes
        self.branches_left = branches
        # The most that any branch lost, and why.
        self.spans_lost = 0
        self.reason = ""

    @property
    def spans(self) -> int:
        """All spans of the trace."""
        return self.trace.spans


class ReleaseBatch:
    """Traces that are sent together, to each of so many ``branches``."""

    def __init__(self, branches: int) -> None:
        self.branches_left = branches
        self.traces: list[HeldTrace] = []
        self.spans = 0
        self.size_bytes = 0
        self._branches = branches
        self._headers: set[bytes | tuple[bytes, bytes]] = set()
        # The request of all traces, made once for all branches.
        self._whole: Batch | None = None

    def add(self, trace: KeptTrace, *, bytes_max: int) -> HeldTrace | None:
        """Take the trace; None when the batch would exceed ``bytes_max`` with it.

        The first trace is taken whatever its size.
        """
        size_bytes = trace.size_bytes
        fresh: set[bytes | tuple[bytes, bytes]] = set()
        for piece in trace.pieces:
            for key, header in (
                (piece.resource, piece.resource),
                ((piece.resource, piece.scope), piece.scope),
            ):
                if key not in self._headers and key not in fresh:
                    fresh.add(key)
                    size_bytes += len(header) + HEADER_FRAME_BYTES
        if self.traces and self.size_bytes + size_bytes > bytes_max:
            return None
        self._headers |= fresh
        held = HeldTrace(trace, size_bytes=size_bytes, branches=self._branches)
        self.traces.append(held)
        self.spans += trace.spans
        self.size_bytes += size_bytes
        return held

    def requests(
        self, traces: Sequence[HeldTrace], *, bytes_max: int
    ) -> Iterator[Batch]:
        """Requests with some traces of the batch, each made when it is asked for.

        That of all traces is made once; those of a trace above ``bytes_max`` are made
        anew, so that they are not held beside it.
        """
        if len(traces) == 1 and traces[0].size_bytes > bytes_max:
            yield from _requests_of_one(traces[0].trace, bytes_max=bytes_max)
        elif len(traces) < len(self.traces):
            yield _request_of(traces)
        else:
            if self._whole is None:
                self._whole = _request_of(traces)
            yield self._whole


def _request_of(traces: Sequence[HeldTrace]) -> Batch:
    spans = sum(held.spans for held in traces)
    return Batch(join(piece for held in traces for piece in held.trace.pieces), spans)


def _requests_of_one(trace: KeptTrace, *, bytes_max: int) -> Iterator[Batch]:
    """A large trace in requests of some of its pieces; a large piece in several."""
    portions = _portions(trace, bytes_max=bytes_max)
    if portions is None:
        whole = Batch(join(trace.pieces), trace.spans)
        yield from cut_batch(whole, bytes_max)
        return
    for begin, end in portions:
        pieces = trace.pieces[begin:end]
        spans = sum(piece.span_count for piece in pieces)
        yield from cut_batch(Batch(join(pieces), spans), bytes_max)


def _portions(trace: KeptTrace, *, bytes_max: int) -> list[tuple[int, int]] | None:
    """Where to cut between pieces; None where headers would be most of what is sent."""
    cuts = [0]
    headers: set[bytes | tuple[bytes, bytes]] = set()
    headers_bytes = size_bytes = 0
    for at, piece in enumerate(trace.pieces):
        added = len(piece.spans)
        if size_bytes and size_bytes + added > bytes_max:
            cuts.append(at)
            headers.clear()
            size_bytes = 0
        header_bytes = _add_headers(headers, piece)
        headers_bytes += header_bytes
        size_bytes += added + header_bytes
    if headers_bytes > trace.size_bytes:
        return None
    return list(pairwise([*cuts, len(trace.pieces)]))


def _add_headers(headers: set[bytes | tuple[bytes, bytes]], piece: Piece) -> int:
    """Note the headers of a piece; what those that are new will take."""
    size_bytes = 0
    for key, header in (
        (piece.resource, piece.resource),
        ((piece.resource, piece.scope), piece.scope),
    ):
        if key not in headers:
            headers.add(key)
            size_bytes += len(header) + HEADER_FRAME_BYTES
    return size_bytes
