"""Reading a segment on: what stands behind a position, whole records and damage.

Rules:

* Damage is what the bytes say. That they cannot be had now (no descriptor is left, the
  disk does not answer) is an OSError, never damage: nothing is lost by it.
* Bytes that are damaged are kept in ``damaged/`` for whoever looks into them, up to a
  bound. What could not be kept there has to stay where it is.

It changes no segment.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from tailring_pipeline.consumer import Batch
from tailring_pipeline.records import Damage, Record
from tailring_pipeline.segment import ReadAt, Segment

__all__ = ["Chunk", "Cursor", "DamageAt", "Place", "indexes_of", "read_on", "set_aside"]

# Records that are read at once: each costs the event loop a few microseconds.
CHUNK_RECORDS_MAX: Final = 512
# Damaged bytes that are kept for whoever looks into them.
ASIDE_BYTES_MAX: Final = 64 * 1024 * 1024


class Place(NamedTuple):
    """Which record."""

    segment: int
    record: int


class Cursor(NamedTuple):
    """Where the next record to be read begins, and its index there."""

    segment: int
    offset: int
    record: int


@dataclass(frozen=True, slots=True)
class DamageAt:
    """Damage and the file that it is in; not ``aside``: its bytes are still there."""

    path: Path
    damage: Damage
    aside: bool = True


@dataclass(slots=True)
class Chunk:
    """Some records in order, and where the next ones are."""

    cursor: Cursor
    records: list[tuple[Place, Batch]] = field(default_factory=list)
    damages: list[DamageAt] = field(default_factory=list)
    # Records that are damaged, and of those whose header is not, items and bytes.
    lost: tuple[int, int, int] = (0, 0, 0)
    at_end: bool = False

    def lose(self, where: DamageAt, *, done: Container[int]) -> None:
        """Tell the damage; the records that are ``done`` are no loss."""
        damage = where.damage
        self.damages.append(where)
        gone = [index for index in indexes_of(damage) if index not in done]
        records, items, nbytes = self.lost
        if damage.index in gone:
            items, nbytes = items + damage.items, nbytes + damage.nbytes
        self.lost = (records + len(gone), items, nbytes)


def read_on(
    segment: Segment, cursor: Cursor, *, bytes_max: int, read: ReadAt
) -> list[Record | Damage]:
    """What stands at ``cursor``, with offsets of the file: at least one of them; a
    record that is larger than ``bytes_max`` is read whole. Raises OSError."""
    _, offset, index = cursor
    data, whole = segment.read(offset, bytes_max, read=read)
    some = segment.scan(data, index=index, whole=whole)
    found = list(islice(some, CHUNK_RECORDS_MAX))
    if not found and (large := segment.read_one(offset, read=read)) is not None:
        found = [large] if large.index == index else []
    if not found and not whole:
        data, whole = segment.read(offset, segment.size - offset, read=read)
        found = list(segment.scan(data, index=index, whole=True))[:1]
    if not found:
        rest, records = segment.size - offset, segment.records - index
        found = [Damage(0, rest, records, "the file ends early", index)]
    return [_in_file(one, segment, offset) for one in found]


def _in_file(one: Record | Damage, segment: Segment, base: int) -> Record | Damage:
    end = base + one.end
    if isinstance(one, Record):
        return replace(one, offset=base + one.offset, end=end)
    records = one.records if end < segment.size else segment.records - one.index
    return replace(one, offset=base + one.offset, end=end, records=records)


def set_aside(folder: Path, segment: Segment, damage: Damage, *, read: ReadAt) -> bool:
    """Keep its bytes, unless there are too many already; False: the disk did not let
    us, so they must not be deleted where they are."""
    size = damage.end - damage.offset
    if not size:
        return True
    try:
        folder.mkdir(mode=0o750, exist_ok=True)
        kept = sum(path.stat().st_size for path in folder.iterdir())
        if kept + size <= ASIDE_BYTES_MAX:
            data, _ = segment.read(damage.offset, size, read=read)
            path = folder / f"{segment.path.stem}-{damage.offset}.bin"
            path.write_bytes(data)
    except OSError:
        return False
    return True


def indexes_of(damage: Damage) -> range:
    """The records that are gone with it."""
    return range(damage.index, damage.index + damage.records)
