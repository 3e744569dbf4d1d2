"""Reading an HTTP body under a limit, decompressed as it arrives.

A body is never larger in memory than the limit allows, however well it was compressed:
each step inflates at most `STEP_BYTES`, and the loop gets a turn between steps.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from typing import Final

from aiohttp import StreamReader

from tailring_otlpio.errors import BodyTooLarge, MalformedBody
from tailring_otlpio.intake import Admission

__all__ = ["ENCODINGS", "STEP_BYTES", "read_body"]

STEP_BYTES: Final = 1 << 20
_GZIP_WBITS: Final = 31
_ZLIB_WBITS: Final = 15

# Content-Encoding -> zlib's window bits; None is a body that is not compressed.
# HTTP's "deflate" is the zlib format.
ENCODINGS: Final[dict[str, int | None]] = {
    "": None,
    "identity": None,
    "gzip": _GZIP_WBITS,
    "x-gzip": _GZIP_WBITS,
    "deflate": _ZLIB_WBITS,
    "zlib": _ZLIB_WBITS,
}


class _Inflater:
    """One compressed stream; gzip members may follow one another."""

    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._stream = zlib.decompressobj(wbits)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Pieces of at most `STEP_BYTES`. Raises `MalformedBody`."""
        rest = chunk
        while rest:
            if self._stream.eof:
                self._stream = zlib.decompressobj(self._wbits)
            try:
                piece = self._stream.decompress(rest, STEP_BYTES)
            except zlib.error as error:
                raise MalformedBody(f"cannot be decompressed: {error}") from error
            rest = self._stream.unconsumed_tail or self._stream.unused_data
            yield piece

    def finish(self) -> None:
        """Raise `MalformedBody` when the stream is not complete."""
        if not self._stream.eof:
            raise MalformedBody("cannot be decompressed: incomplete")


class _Collected:
    """The decompressed pieces, and what they take of the limits."""

    def __init__(self, admission: Admission, *, bytes_max: int) -> None:
        self.pieces: list[bytes] = []
        self.size = 0
        self._admission = admission
        self._bytes_max = bytes_max

    def add(self, piece: bytes) -> None:
        if self.size + len(piece) > self._bytes_max:
            raise BodyTooLarge(f"the body is larger than {self._bytes_max} bytes")
        self._admission.grow(len(piece))
        self.size += len(piece)
        self.pieces.append(piece)


async def read_body(
    content: StreamReader, admission: Admission, *, encoding: str, bytes_max: int
) -> bytes:
    """The whole body, decompressed; counted in ``admission`` while it is read.

    ``encoding`` is a key of `ENCODINGS`. Raises `BodyTooLarge`, `MalformedBody`, or
    `Refused` when too much is in flight.
    """
    wbits = ENCODINGS[encoding]
    inflater = None if wbits is None else _Inflater(wbits)
    collected = _Collected(admission, bytes_max=bytes_max)
    admission.enter(0)
    try:
        async for chunk in content.iter_any():
            if inflater is None:
                collected.add(chunk)
                continue
            await _inflate(inflater, chunk, into=collected)
    finally:
        admission.leave(collected.size)
    if inflater is not None:
        inflater.finish()
    return b"".join(collected.pieces)


async def _inflate(inflater: _Inflater, chunk: bytes, *, into: _Collected) -> None:
    for piece in inflater.feed(chunk):
        into.add(piece)
        if len(piece) == STEP_BYTES:
            await asyncio.sleep(0)  # a bomb must not hold up the loop
