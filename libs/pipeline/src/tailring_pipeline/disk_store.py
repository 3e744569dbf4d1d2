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
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from typing import Final

from tailring_pipeline.admission import Admission, Size
from tailring_pipeline.consumer import Batch
from tailring_pipeline.disk_backlog import Backlog, size_of
from tailring_pipeline.disk_jobs import Job, Write
from tailring_pipeline.disk_settings import DiskSettings
from tailring_pipeline.errors import Closed, Unwritable
from tailring_pipeline.ready_calls import ReadyCalls
from tailring_pipeline.records import record_bytes
from tailring_pipeline.segment_log import SegmentLog, Stored
from tailring_pipeline.segment_reading import Chunk, Place
from tailring_pipeline.storage_metrics import StorageMetrics
from tailring_pipeline.store import Entry, Room

__all__ = ["DiskStore"]

READ_BYTES: Final = 4 * 1024 * 1024
READ_BYTES_MIN: Final = 64 * 1024
# Records of one job: the next writers do not wait for more than that.
GROUP_BYTES: Final = 16 * 1024 * 1024
GROUP_RECORDS: Final = 128
# How long what is done with is collected before it is written down.
MARK_DELAY_S: Final = 0.02
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


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
        self._ready_calls = ReadyCalls()
        self._loser: Callable[[int], None] = _nobody_loses
        self._ready_bytes = 0
        self._leased = Size()
        # Kept for the next start.
        self._left = Size()
        self._backlog = Backlog(self._segments.start, metrics=metrics, again=self._kick)
        self._writes: deque[Write] = deque()
        self._writing_bytes = 0
        self._done: list[Place] = []
        self._job: asyncio.Future[None] | None = None
        self._running: Job | None = None
        self._mark_timer: asyncio.TimerHandle | None = None
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
        return self._backlog.behind or len(self._ready) > 0

    @property
    def bytes_in_memory(self) -> int:
        """Payloads that are ready or leased."""
        return self._ready_bytes + self._leased.nbytes

    @property
    def ready(self) -> int:
        """How many entries can be leased now."""
        return len(self._ready)

    def follow(self, ready: Callable[[], None], lost: Callable[[int], None]) -> None:
        """Call ``ready`` for each entry that can be leased, ``lost`` for damage."""
        self._ready_calls.follow(ready)
        self._loser = lost

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
        self._backlog.found(size)
        self._kick()
        return recovered.items

    async def put(self, entry: Entry, *, waits: bool) -> None:
        """Write an entry; see `Store`. Raises `Unwritable` too."""
        size = size_of(entry.batch)
        if self._thread is None:
            raise Closed
        if waits:
            await self._admission.enter(size)
        else:
            self._admission.enter_nowait(size)
        if not self._has_room(record_bytes(size.nbytes)):
            self._admission.leave(size)
            raise Unwritable("max_size of file_storage is reached", full=True)
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._write(Write(entry, written))
        await written

    def lease_nowait(self) -> Entry:
        """The oldest entry."""
        entry = self._ready.popleft()
        size = size_of(entry.batch)
        self._ready_bytes -= size.nbytes
        self._leased = self._leased.plus(size)
        self._kick()
        return entry

    def release(self, entry: Entry) -> None:
        """A leased entry is done with: it need not survive."""
        self._unlease(entry)
        self._admission.leave(size_of(entry.batch))
        self._mark_done(entry)

    def keep(self, entry: Entry, remaining: Batch | None) -> None:
        """What was not delivered goes to the back; see `Store`."""
        self._unlease(entry)
        if remaining is None:
            self._left = self._left.plus(size_of(entry.batch))
            return
        self._admission.leave(size_of(entry.batch))
        self._admission.enter_anyway(size_of(remaining))
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
        return self._backlog.behind and not self._fits(READ_BYTES_MIN)

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
        self._ready_calls.stop()
        if self._mark_timer is not None:
            self._mark_timer.cancel()
        while True:
            self._begin_job()
            if self._job is None:
                break
            await asyncio.wait([self._job])
        self._backlog.stop()
        thread, self._thread = self._thread, None
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(thread, self._segments.close)
        thread.shutdown()

    def check_invariants(self) -> None:
        """Raise AssertionError unless sizes and limits agree."""
        ready = sum(len(entry.batch.payload) for entry in self._ready)
        assert self._ready_bytes == ready
        running = () if self._running is None else self._running.writes
        writes = [*running, *self._writes]
        assert self._writing_bytes == sum(one.nbytes for one in writes)
        where = [self._leased, self._left, self._backlog.size, self._admission.arriving]
        assert min(map(min, where)) >= 0
        batches = [one.batch for one in self._ready]
        where += map(size_of, (*batches, *(one.entry.batch for one in writes)))
        assert self.held == reduce(Size.plus, where)

    # Jobs

    def _kick(self) -> None:
        """Let the thread do what there is to do, unless it is at work."""
        if self._job is None and (self._writes or self._wants_read()):
            self._begin_job()

    def _begin_job(self) -> None:
        something = self._writes or self._done or self._wants_read()
        if self._job is not None or self._thread is None or not something:
            return
        job = Job(self._next_group(), self._done, self._settings.folder_bytes_max)
        self._done = []
        self._running = job
        if self._wants_read():
            job.read_from = self._backlog.cursor
            job.read_bytes = max(READ_BYTES_MIN, min(READ_BYTES, self._memory_left()))
        loop = asyncio.get_running_loop()
        self._job = loop.run_in_executor(self._thread, job.run, self._segments)
        self._job.add_done_callback(lambda ended: self._finish(job, ended))

    def _next_group(self) -> list[Write]:
        group: list[Write] = []
        nbytes = 0
        while self._writes and nbytes < GROUP_BYTES and len(group) < GROUP_RECORDS:
            one = self._writes.popleft()
            if one.unwanted:
                self._writing_bytes -= one.nbytes
                self._admission.leave(size_of(one.entry.batch))
                continue
            group.append(one)
            nbytes += one.nbytes
        return group

    def _finish(self, job: Job, ended: asyncio.Future[None]) -> None:
        self._job = self._running = None
        self._writing_bytes -= sum(one.nbytes for one in job.writes)
        if (error := ended.exception()) is not None:
            self._metrics.log.error("queue on disk failed", exc_info=error)
            job.failed(OSError(errno.EIO, str(error)))
        if job.chunk is not None:
            self._take(job.chunk)
        if job.read_failure is not None:
            self._backlog.failed(job.read_failure)
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
        size = size_of(entry.batch)
        reads = self._backlog.behind or not self._fits(size.nbytes)
        if not reads:
            self._backlog.cursor = stored.end
        if write.unwanted:
            self._admission.leave(size)
            self._mark_done(entry)
            return
        if reads:
            self._backlog.add(size)
        else:
            self._push(entry)
        if write.written is not None:
            write.written.set_result(None)

    def _take(self, chunk: Chunk) -> None:
        entries, lost = self._backlog.take(chunk)
        for entry in entries:
            self._push(entry)
        if lost != Size():
            self._admission.leave(lost)
            self._loser(lost.items)

    def _push(self, entry: Entry) -> None:
        self._ready.append(entry)
        self._ready_bytes += len(entry.batch.payload)
        self._ready_calls.add()

    def _refuse(self, writes: Iterable[Write], failure: OSError) -> None:
        self._metrics.write_failures.add()
        for write in writes:
            if write.again is not None:
                # It is still on disk, as what it was; here it is what remains.
                write.entry.mark = write.again
                self._push(write.entry)
                continue
            self._admission.leave(size_of(write.entry.batch))
            if write.written is not None and not write.written.done():
                full = failure.errno in _FULL
                detail = f"the queue on disk: {failure.strerror or failure}"
                write.written.set_exception(Unwritable(detail, full=full))

    # Small things

    def _write(self, write: Write) -> None:
        self._writes.append(write)
        self._writing_bytes += write.nbytes
        self._kick()

    def _has_room(self, nbytes: int) -> bool:
        """Whether ``max_size`` allows so much more. While nothing is being written the
        rests of what is all done do not count: the next write gives them back."""
        bytes_max, log = self._settings.folder_bytes_max, self._segments
        rests = 0 if self._writing_bytes else log.bytes_idle
        on_disk = log.bytes_on_disk + self._writing_bytes
        return not bytes_max or on_disk - rests + nbytes <= bytes_max

    def _memory_left(self) -> int:
        return max(0, self._settings.memory_bytes_max - self.bytes_in_memory)

    def _wants_read(self) -> bool:
        backlog = self._backlog
        if not backlog.behind or backlog.rests or self._stopping:
            return False
        return self._ready_bytes < READ_BYTES and self._fits(READ_BYTES_MIN)

    def _fits(self, nbytes: int) -> bool:
        """Whether so much may come into memory; into an empty one anything may."""
        empty = not self._ready and not self._leased.nbytes
        return empty or nbytes <= self._memory_left()

    def _unlease(self, entry: Entry) -> None:
        self._leased = self._leased.minus(size_of(entry.batch))

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


def _place(entry: Entry) -> Place:
    assert isinstance(entry.mark, Place)
    return entry.mark


def _nobody_loses(items: int) -> None:
    """Who follows a store before anybody does."""
