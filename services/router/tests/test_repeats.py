"""What is remembered of requests that come again."""

from __future__ import annotations

from dataclasses import dataclass

from tailring_pipeline import Batch
from tailring_router.part import DELIVERED, REPEATED, Outcome, Part, Result
from tailring_router.repeats import Remains, Repeats, follow, is_late, key_of

ITEMS = 10
REST = Remains(ITEMS, Batch(b"rest", 4))
NO = Result(Outcome.REJECTED, "bad_data", "no")


@dataclass
class Flying:
    """A request with parts in flight."""

    now: Remains

    def remains(self) -> Remains:
        return self.now


def _keep(repeats: Repeats, request: bytes, now_ns: int = 0) -> None:
    repeats.keep(key_of(request), REST, now_ns)


def test_only_the_same_bytes_are_known() -> None:
    """Equal bytes are known, other bytes are not."""
    repeats = Repeats()
    _keep(repeats, b"request")
    assert repeats.take(b"other", 1) is None
    assert repeats.take(bytes(bytearray(b"request")), 1) is REST


def test_an_entry_serves_one_repeat() -> None:
    """What comes after the repeat is new."""
    repeats = Repeats()
    _keep(repeats, b"request")
    assert repeats.take(b"request", 1) is not None
    assert repeats.take(b"request", 1) is None
    assert (len(repeats), repeats.size_bytes) == (0, 0)


def test_it_forgets_after_its_time() -> None:
    """A request is known for `keep_ns` after it was last remembered."""
    for now_ns, known in ((14, True), (15, False)):
        repeats = Repeats(keep_ns=10)
        _keep(repeats, b"request", 0)
        _keep(repeats, b"request", 5)
        assert (repeats.take(b"request", now_ns) is not None) == known
        assert (len(repeats), repeats.size_bytes) == (0, 0)


def test_its_entries_are_bounded() -> None:
    """At most `entries_max` are kept, the newest."""
    repeats = Repeats(entries_max=2)
    for number in range(5):
        _keep(repeats, bytes([number]))
    known = [repeats.take(bytes([number]), 0) is not None for number in range(5)]
    assert known == [False, False, False, True, True]


def test_its_bytes_are_bounded() -> None:
    """The oldest are forgotten when what remains takes more than `bytes_max`."""
    repeats = Repeats(bytes_max=2 * REST.size_bytes + 1)
    for number in range(5):
        _keep(repeats, bytes([number]))
    assert (len(repeats), repeats.size_bytes) == (2, 2 * REST.size_bytes)
    assert repeats.take(bytes([2]), 0) is None
    assert repeats.take(bytes([3]), 0) is REST


def test_a_request_larger_than_the_bound_is_not_kept() -> None:
    """It makes room for nobody and leaves nothing behind."""
    repeats = Repeats(bytes_max=REST.size_bytes - 1)
    _keep(repeats, b"request")
    assert (len(repeats), repeats.size_bytes) == (0, 0)


def test_a_request_of_which_nothing_arrived_is_not_kept() -> None:
    """To send all of it needs no memory, and it replaces what was known before."""
    repeats = Repeats()
    _keep(repeats, b"request")
    repeats.keep(key_of(b"request"), Remains(4, Batch(b"rest", 4)), 0)
    assert (len(repeats), repeats.size_bytes) == (0, 0)


def test_what_is_in_flight_is_asked_when_it_comes_again() -> None:
    """The request says itself what remains, and is then not kept any more."""
    repeats = Repeats()
    flying = Flying(REST)
    repeats.await_fate(key_of(b"request"), flying)
    assert repeats.take(b"request", 0) is REST
    repeats.settled(key_of(b"request"), flying, 0)
    assert repeats.take(b"request", 0) is None


def test_what_was_in_flight_is_kept_when_its_fate_is_known() -> None:
    """A request that is settled before it comes again is known by what remained."""
    repeats = Repeats()
    flying = Flying(REST)
    repeats.await_fate(key_of(b"request"), flying)
    flying.now = Remains(ITEMS, Batch(b"", 0))
    repeats.settled(key_of(b"request"), flying, 0)
    assert repeats.take(b"request", 0) == flying.now


async def test_what_is_not_sent_again_has_a_fate() -> None:
    """Items refused for good are refused again by number, all others are repeated."""
    flying = Part(b"flying", 2, address="a:1")
    remains = Remains(ITEMS, Batch(b"rest", 4), refused=((NO, 3),), flying=(flying,))
    parts = [(part.items, part.result.result()) for part in remains.settled()]
    assert parts == [(3, NO), (1, REPEATED)]


async def test_who_follows_shares_the_fate() -> None:
    """What arrived is repeated, what was refused is refused, all else is moved."""
    partly = Result(Outcome.DELIVERED, "partial", "some", rejected=1)
    fates = {
        DELIVERED: (Outcome.REPEATED, 0),
        partly: (Outcome.REPEATED, 1),
        NO: (Outcome.REJECTED, 0),
        Result(Outcome.FAILED, "unavailable"): (Outcome.MOVED, 0),
    }
    for fate, expected in fates.items():
        leader, part = (Part(b"same", 2, address="a:1") for _ in range(2))
        follow(leader, part)
        leader.resolve(fate)
        result = await part.result
        assert (result.outcome, result.rejected) == expected


def test_who_is_answered_about_his_deadline_is_late() -> None:
    """The last 250 ms count, of a short time its last tenth; without one, nothing."""
    ms = 1_000_000
    for deadline_ms, now_ms, late in (
        (10_000, 9_749, False),
        (10_000, 9_750, True),
        (10_000, 11_000, True),
        (200, 179, False),
        (200, 180, True),
        (-5, 0, True),
    ):
        request = Batch(b"request", ITEMS, deadline_ns=deadline_ms * ms)
        assert is_late(request, began_ns=0, now_ns=now_ms * ms) == late
    assert not is_late(Batch(b"request", ITEMS), began_ns=0, now_ns=1 << 62)
