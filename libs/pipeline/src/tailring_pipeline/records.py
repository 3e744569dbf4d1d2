"""Records of a queue on disk: how a batch lies in a segment, and how it is found again.

Rules:

* A record is taken for whole only when the checksum of its header and that of its
  payload are right. What is not is `Damage`, whatever the bytes are; so are indexes
  that are left out, with no bytes at all.
* Damage ends where the next intact header begins: one bad byte costs one record.
* A payload can hold anything, also a copy of a segment. The checksum of a header
  begins with the segment's *salt*, which stands in its file's name and which no sender
  knows, so bytes inside of a payload are never taken for a record.
* `scan` ends, and looks at each byte a fixed number of times.

A record is 28 bytes of header and the payload, little-endian:

    "TRQ1" | crc32(salt, rest of header) | index | items | length | crc32(payload)
           | signal (1 byte) | three zero bytes

``index`` counts the records of a segment from 0, so that a gap says how many are lost.
It does no I/O and knows no files.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from zlib import crc32

from tailring_pipeline.consumer import Batch, Signal

__all__ = [
    "DONE_BYTES",
    "HEADER_BYTES",
    "Damage",
    "Record",
    "done_mark",
    "done_marks",
    "encode_header",
    "payload_bytes_at",
    "record_bytes",
    "record_of",
    "scan",
]

MAGIC: Final = b"TRQ1"
_FIXED: Final = struct.Struct("<4sI")
_REST: Final = struct.Struct("<IIIIB3x")
_DONE: Final = struct.Struct("<II")
HEADER_BYTES: Final = _FIXED.size + _REST.size
DONE_BYTES: Final = _DONE.size

_SIGNALS: Final = (Signal.TRACES, Signal.LOGS, Signal.METRICS)


@dataclass(frozen=True, slots=True)
class Record:
    """An intact record: where it is and what is in it."""

    offset: int
    end: int
    index: int
    batch: Batch


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that are no record, where the record ``index`` should be; ``items``
    and ``nbytes`` of payload are those of that one, where its header says them.

    ``records`` is how many records are gone as far as one can tell: 0 where bytes stand
    between two that follow each other, and for a record that the end of the file cuts
    off, which nobody acknowledged unless the file was cut.
    """

    offset: int
    end: int
    records: int
    why: str
    index: int
    items: int = 0
    nbytes: int = 0


def record_bytes(payload_bytes: int) -> int:
    """What a payload of that size takes in a segment."""
    return HEADER_BYTES + payload_bytes


def encode_header(batch: Batch, index: int, *, salt: bytes) -> bytes:
    """The header of a record; its payload follows as it is."""
    payload = batch.payload
    rest = _REST.pack(
        index, batch.items, len(payload), crc32(payload), _SIGNALS.index(batch.signal)
    )
    return _FIXED.pack(MAGIC, crc32(rest, crc32(salt))) + rest


def payload_bytes_at(header: bytes, *, salt: bytes) -> int | None:
    """How long the payload behind an encoded header is; None when it is damaged."""
    found = _header(header, 0, salt)
    return None if found is None else found.length


def record_of(header: bytes, payload: bytes, *, salt: bytes) -> Record | None:
    """The record, at offset 0, of a header and a payload that were read apart, which
    spares a copy; None when either is damaged."""
    found = _header(header, 0, salt)
    if found is None or len(payload) != found.length or crc32(payload) != found.crc:
        return None
    batch = Batch(payload, found.items, _SIGNALS[found.signal])
    return Record(0, found.end, found.index, batch)


def done_mark(index: int, *, salt: bytes) -> bytes:
    """What a journal holds for a record that is done with."""
    return _DONE.pack(index, _done_crc(index, salt))


def done_marks(journal: bytes, *, salt: bytes) -> set[int]:
    """The records that a journal names; marks that are damaged name none."""
    whole = journal[: len(journal) // _DONE.size * _DONE.size]
    return {
        index
        for index, crc in _DONE.iter_unpack(whole)
        if crc == _done_crc(index, salt)
    }


@dataclass(frozen=True, slots=True)
class _Header:
    offset: int
    index: int
    items: int
    length: int
    crc: int
    signal: int

    @property
    def start(self) -> int:
        return self.offset + HEADER_BYTES

    @property
    def end(self) -> int:
        return self.start + self.length


def scan(
    data: bytes, *, salt: bytes, offset: int = 0, index: int = 0, whole: bool = True
) -> Iterator[Record | Damage]:
    """Everything in ``data`` from ``offset`` on, in order and without a gap.

    ``index`` is that of the first record there. Not ``whole``: more of the segment
    follows, and a record that ``data`` cuts off is left out instead of being `Damage`.
    """
    size = len(data)
    while offset < size:
        header = _header(data, offset, salt)
        if header is not None and header.index >= index:
            if header.index > index:
                why = "records are missing"
                yield Damage(offset, offset, header.index - index, why, index)
                index = header.index
            if header.end > size and not whole:
                return
            if (record := _record(data, header)) is not None:
                yield record
                offset, index = header.end, header.index + 1
                continue
        # A header may say a wrong end, if bytes are missing behind it.
        found = _next_header(data, offset + 1, salt, index=index)
        if found is None and not whole:
            return
        end = size if found is None else found.offset
        yield _damage(offset, end, index, header=header, found=found)
        if found is None:
            return
        offset, index = found.offset, found.index


def _header(data: bytes, offset: int, salt: bytes) -> _Header | None:
    if len(data) - offset < HEADER_BYTES:
        return None
    magic, crc = _FIXED.unpack_from(data, offset)
    at = offset + _FIXED.size
    rest = data[at : at + _REST.size]
    if magic != MAGIC or crc != crc32(rest, crc32(salt)):
        return None
    header = _Header(offset, *_REST.unpack(rest))
    return header if header.signal < len(_SIGNALS) else None


def _next_header(
    data: bytes, offset: int, salt: bytes, *, index: int
) -> _Header | None:
    while (offset := data.find(MAGIC, offset)) >= 0:
        header = _header(data, offset, salt)
        if header is not None and header.index >= index:
            return header
        offset += 1
    return None


def _record(data: bytes, header: _Header) -> Record | None:
    payload = data[header.start : header.end]
    if len(payload) < header.length or crc32(payload) != header.crc:
        return None
    batch = Batch(payload, header.items, _SIGNALS[header.signal])
    return Record(header.offset, header.end, header.index, batch)


def _damage(
    offset: int, end: int, index: int, *, header: _Header | None, found: _Header | None
) -> Damage:
    """What lies between ``offset`` and ``end``, where ``found`` begins."""
    why = "no record begins here" if header is None else "its payload is damaged"
    records = 1 if found is None else found.index - index
    cut_off = end - offset < HEADER_BYTES if header is None else header.end > end
    if found is None and cut_off:
        why, records = "the file ends inside a record", 0
    if header is None or header.index != index:
        return Damage(offset, end, records, why, index)
    return Damage(offset, end, records, why, index, header.items, header.length)


def _done_crc(index: int, salt: bytes) -> int:
    return crc32(index.to_bytes(4, "little"), crc32(salt))
