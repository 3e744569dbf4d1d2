"""A `Store` on disk: what it took survives the process.

Rules:

* `put` returns when the record is written (see `SegmentLog` for what that survives).
  A disk that does not take it is told as `Unwritable`, and nothing is left of it.
* The event loop never waits for the disk. One thread does everything, one job after
  the other; a job writes all that came meanwhile, so that many writers share one sync.
* In memory are at most ``memory_bytes_max`` of payloads, ready and leased together (and
  one more, however large). What goes beyond is read back when there is room, in order.
* An entry leaves by `release` only, and what never did is found at the next start.

How it works: while nothing is unread on disk, an entry that was written is ready at
once, without being read. From the first that finds no room on (``behind``), those that
follow are only written, until reading has caught up. The reading position is kept here
and not in the log, because only here it is known what need not be read.
"""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tailring_pipeline.admission import Admission, Size
from tailring_pipeline.consumer import Batch
from tailring_pipeline.disk_jobs import Job, Write
from tailring_pipeline.errors import Closed, Unwritable
from tailring_pipeline.records import record_bytes
from tailring_pipeline.segment_log import Chunk, Place, SegmentLog, Stored
from tailring_pipeline.storage_metrics import StorageMetrics
from tailring_pipeline.store import Entry, Room

__all__ = ["DiskSettings", "DiskStore"]

MEMORY_BYTES_MAX: Final = 64 * 1024 * 1024
READ_BYTES: Final = 4 * 1024 * 1024
READ_BYTES_MIN: Final = 64 * 1024
# Records of one job: the next writers do not wait for more than that.
GROUP_BYTES: Final = 16 * 1024 * 1024
GROUP_RECORDS: Final = 128
# Entries that are told ready in one turn of the event loop: each is work at once.
TOLD_AT_ONCE: Final = 32
# How long what is done with is collected before it is written down.
MARK_DELAY_S: Final = 0.02
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class DiskSettings:
    """Where and how; ``folder_bytes_max`` 0 does not limit what is on disk."""

    folder: Path
    fsync: bool = False
    folder_bytes_max: int = 0
    lock_timeout_s: float = 1.0
    leftovers: Callable[[], Sequence[Path]] = tuple
    memory_bytes_max: int = MEMORY_BYTES_MAX
    # See `Store.park_s`.
    park_s: float | None = None


class DiskStore:
    """See the module; made on the running loop."""

    survives = True

    def __init__(
        self,
        settings: DiskSettings,
        room: Room,
        *,
        metrics: StorageMetrics,
        segments: SegmentLog | None = None,
    ) -> None:
        """``segments`` is for tests that make the disk fail."""
        self._settings = settings
        self.park_s = settings.park_s
        self._metrics = metrics
        self._segments = segments or SegmentLog(settings.folder, fsync=settings.fsync)
        self._admission = Admission(room)
        self._thread: ThreadPoolExecutor | None = None
        self._ready: deque[Entry] = deque()
        self._follower: Callable[[], None] = _nobody
        self._ready_bytes = 0
        self._leased_bytes = 0
        self._behind = False
        self._cursor = self._segments.start
        self._writes: deque[Write] = deque()
        self._writing_bytes = 0
        self._done: list[Place] = []
        self._job: asyncio.Future[None] | None = None
        self._mark_timer: asyncio.TimerHandle | None = None
        self._untold = 0
        self._teller: asyncio.Handle | None = None
        self._stopping = False
        metrics.watch_bytes(lambda: self._segments.bytes_on_disk)

    # Store

    @property
    def held(self) -> tuple[int, int, int]:
        """Requests, items and bytes, on disk and not done."""
        return self._admission.held

    @property
    def waiting(self) -> bool:
        """Whether anything is queued, in memory or on disk."""
        return self._behind or len(self._ready) > 0

    @property
    def bytes_in_memory(self) -> int:
        """Payloads that are ready or leased."""
        return self._ready_bytes + self._leased_bytes

    @property
    def ready(self) -> int:
        """How many entries can be leased now."""
        return len(self._ready)

    def follow(self, ready: Callable[[], None]) -> None:
        """Call ``ready`` whenever another entry can be leased."""
        self._follower = ready

    async def start(self) -> int:
        """Recover what a process before left. Raises `StorageInUse` or OSError."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="storage")
        settings = self._settings
        recovered = await asyncio.get_running_loop().run_in_executor(
            self._thread,
            lambda: self._segments.open(
                timeout_s=settings.lock_timeout_s, leftovers=settings.leftovers()
            ),
        )
        self._metrics.tell(recovered, folder=settings.folder)
        size = Size(recovered.records, recovered.items, recovered.nbytes)
        self._admission.enter_anyway(size)
        self._behind = recovered.records > 0
        self._kick()
        return recovered.items

    async def put(self, entry: Entry, *, waits: bool) -> None:
        """Write an entry; see `Store`. Raises `Unwritable` too."""
        size = _size(entry.batch)
        if self._thread is None:
            raise Closed
        if waits:
            await self._admission.enter(size)
        else:
            self._admission.enter_nowait(size)
        if self._over(record_bytes(size.nbytes)):
            self._admission.leave(size)
            raise Unwritable("max_size of file_storage is reached", full=True)
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._write(Write(entry, written))
        await written

    def lease_nowait(self) -> Entry:
        """The oldest entry."""
        entry = self._ready.popleft()
        nbytes = len(entry.batch.payload)
        self._ready_bytes -= nbytes
        self._leased_bytes += nbytes
        self._kick()
        return entry

    def release(self, entry: Entry) -> None:
        """A leased entry is done with: it need not survive."""
        self._unlease(entry)
        self._admission.leave(_size(entry.batch))
        self._mark_done(entry)

    def keep(self, entry: Entry, remaining: Batch | None) -> None:
        """What was not delivered goes to the back; see `Store`."""
        self._unlease(entry)
        if remaining is None:
            return
        self._admission.leave(_size(entry.batch))
        self._admission.enter_anyway(_size(remaining))
        kept = Entry(remaining)
        kept.accepted = kept.parked = True
        self._write(Write(kept, None, again=_place(entry)))

    def put_back(self, entry: Entry) -> None:
        """It is delivered again, after what is ready."""
        self._unlease(entry)
        entry.parked = True
        self._push(entry)

    @property
    def crowded(self) -> bool:
        """Whether entries that are on disk cannot be read for want of memory."""
        return self._behind and not self._fits(READ_BYTES_MIN)

    def withdraw(self, entry: Entry) -> bool:  # noqa: ARG002 - see `Store`
        """Nobody waits for what is on disk."""
        return False

    def drain(self) -> list[Entry]:
        """All of it survives."""
        return []

    def close(self) -> None:
        """Take nothing more; what is on disk is still delivered."""
        self._admission.close()

    async def stop(self) -> None:
        """Write what is left to write and give the folder free. Safe twice."""
        self.close()
        if self._thread is None:
            return
        self._stopping = True
        for handle in (self._mark_timer, self._teller):
            if handle is not None:
                handle.cancel()
        while True:
            self._begin_job()
            if self._job is None:
                break
            await asyncio.wait([self._job])
        thread, self._thread = self._thread, None
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(thread, self._segments.close)
        thread.shutdown()

    def check_invariants(self) -> None:
        """Raise AssertionError unless sizes and limits agree."""
        ready = sum(len(entry.batch.payload) for entry in self._ready)
        assert self._ready_bytes == ready
        assert self._leased_bytes >= 0
        assert min(self.held) >= 0
        assert self._writing_bytes == sum(one.nbytes for one in self._writes)

    # Jobs

    def _kick(self) -> None:
        """Let the thread do what there is to do, unless it is at work."""
        if self._job is None and (self._writes or self._wants_read()):
            self._begin_job()

    def _begin_job(self) -> None:
        something = self._writes or self._done or self._wants_read()
        if self._job is not None or self._thread is None or not something:
            return
        job = Job(self._next_group(), self._done, None, 0)
        self._done = []
        if self._wants_read():
            job.read_from = self._cursor
            job.read_bytes = max(READ_BYTES_MIN, min(READ_BYTES, self._memory_left()))
        loop = asyncio.get_running_loop()
        self._job = loop.run_in_executor(self._thread, job.run, self._segments)
        self._job.add_done_callback(lambda ended: self._finish(job, ended))

    def _next_group(self) -> list[Write]:
        group: list[Write] = []
        nbytes = 0
        while self._writes and nbytes < GROUP_BYTES and len(group) < GROUP_RECORDS:
            one = self._writes.popleft()
            self._writing_bytes -= one.nbytes
            if one.unwanted:
                self._admission.leave(_size(one.entry.batch))
                continue
            group.append(one)
            nbytes += one.nbytes
        return group

    def _finish(self, job: Job, ended: asyncio.Future[None]) -> None:
        self._job = None
        if (error := ended.exception()) is not None:
            self._metrics.log.error("queue on disk failed", exc_info=error)
            job.failure = OSError(errno.EIO, str(error))
        if job.chunk is not None:
            self._take(job.chunk)
        if job.failure is not None:
            self._refuse(job.writes, job.failure)
        for write, stored in zip(job.writes, job.stored, strict=False):
            self._stored(write, stored)
        self._kick()
        if self._done:
            self._mark_soon()

    def _stored(self, write: Write, stored: Stored) -> None:
        entry = write.entry
        entry.mark = stored.place
        if write.again is not None:
            self._done.append(write.again)
            self._mark_soon()
        if self._behind or not self._fits(len(entry.batch.payload)):
            self._behind = True
        else:
            self._cursor = stored.end
            if not write.unwanted:
                self._push(entry)
        if write.unwanted:
            self._admission.leave(_size(entry.batch))
            self._mark_done(entry)
        elif write.written is not None:
            write.written.set_result(None)

    def _take(self, chunk: Chunk) -> None:
        self._cursor = chunk.cursor
        self._behind = not chunk.at_end
        self._metrics.tell_damages(chunk.damages)
        for place, batch in chunk.records:
            entry = Entry(batch)
            entry.accepted = True
            entry.mark = place
            self._push(entry)

    def _push(self, entry: Entry) -> None:
        self._ready.append(entry)
        self._ready_bytes += len(entry.batch.payload)
        self._untold += 1
        self._tell_soon()

    def _tell_soon(self) -> None:
        if self._teller is None and self._untold and not self._stopping:
            self._teller = asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        """Let some deliveries begin; the others have to wait for the next turn."""
        self._teller = None
        for _ in range(min(self._untold, TOLD_AT_ONCE)):
            self._untold -= 1
            self._follower()
        self._tell_soon()

    def _refuse(self, writes: Iterable[Write], failure: OSError) -> None:
        self._metrics.write_failures.add()
        for write in writes:
            if write.again is not None:
                # It is still on disk, as what it was; here it is what remains.
                write.entry.mark = write.again
                self._push(write.entry)
                continue
            self._admission.leave(_size(write.entry.batch))
            if write.written is not None and not write.written.done():
                full = failure.errno in _FULL
                detail = f"the queue on disk: {failure.strerror or failure}"
                write.written.set_exception(Unwritable(detail, full=full))

    # Small things

    def _write(self, write: Write) -> None:
        self._writes.append(write)
        self._writing_bytes += write.nbytes
        self._kick()

    def _over(self, nbytes: int) -> bool:
        bytes_max = self._settings.folder_bytes_max
        on_disk = self._segments.bytes_on_disk + self._writing_bytes
        return bytes_max > 0 and on_disk + nbytes > bytes_max

    def _memory_left(self) -> int:
        return max(0, self._settings.memory_bytes_max - self.bytes_in_memory)

    def _wants_read(self) -> bool:
        if not self._behind or self._stopping or self._ready_bytes >= READ_BYTES:
            return False
        return self._fits(READ_BYTES_MIN)

    def _fits(self, nbytes: int) -> bool:
        """Whether so much may come into memory; into an empty one anything may."""
        empty = not self._ready and not self._leased_bytes
        return empty or nbytes <= self._memory_left()

    def _unlease(self, entry: Entry) -> None:
        self._leased_bytes -= len(entry.batch.payload)

    def _mark_done(self, entry: Entry) -> None:
        self._done.append(_place(entry))
        self._mark_soon()
        self._kick()

    def _mark_soon(self) -> None:
        if self._mark_timer is None and not self._stopping:
            loop = asyncio.get_running_loop()
            self._mark_timer = loop.call_later(MARK_DELAY_S, self._mark_now)

    def _mark_now(self) -> None:
        self._mark_timer = None
        self._begin_job()


def _size(batch: Batch) -> Size:
    return Size(1, batch.items, len(batch.payload))


def _place(entry: Entry) -> Place:
    assert isinstance(entry.mark, Place)
    return entry.mark


def _nobody() -> None:
    """Who follows a store before anybody does."""
