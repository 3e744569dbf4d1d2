"""What happened to every copy of every span, and what may never happen to one.

The ledger is told by the fake network, never by the parts under test. It raises
`AssertionError` at the very step that breaks a rule, and keeps what it raised in
``broken``:

* a router sends a copy only to a backend that owned its trace at some moment since the
  request came, and that is listed or being drained (*split*);
* a router does not send what it knows to have arrived when its client, who was refused,
  sends the same bytes again, whether the ring has changed or not (*repeat*);
* a copy is taken by a sampler at most once for each time that a client sent it, and
  once more for each request that carried it and whose fate its router could not know
  (*doubted*);
* a copy reaches a backend at most as often as it was taken, and once more for each
  doubted request to that backend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from tests.simulation.rings import RingHistory

__all__ = ["Answer", "Attempt", "Copy", "Ledger", "Route", "Sent"]

# Routers remember for 120 s what has arrived; nobody's clock is that exact.
_REMEMBERED_S = 110.0


class Answer(Enum):
    """What a router said to a request of a client."""

    PENDING = "pending"
    ACKNOWLEDGED = "acknowledged"
    REJECTED = "rejected"
    """Some spans, or all, for good; the others are acknowledged."""
    REFUSED = "refused"
    CANCELLED = "cancelled"
    """The client, or the receiver's end, did not wait for it."""


@dataclass(slots=True)
class Attempt:
    """One request of a client to one life of a router."""

    router: str
    copies: tuple[int, ...]
    begun_s: float
    answer: Answer = Answer.PENDING
    rejected: int = 0
    arrived: dict[int, float] = field(default_factory=dict)
    """Copies that the router knows to have arrived, and since when."""


@dataclass(slots=True)
class Taking:
    """A sampler took a copy."""

    sampler: str
    at_ns: int


@dataclass(slots=True)
class Copy:
    """The way of one copy."""

    attempts: list[Attempt] = field(default_factory=list)
    taken: list[Taking] = field(default_factory=list)
    doubted: int = 0
    exported: dict[int, list[str]] = field(default_factory=dict)
    """By backend: the samplers that it came from."""
    export_doubted: dict[int, int] = field(default_factory=dict)

    def exports(self, backend: int) -> list[str]:
        """The samplers that brought it to a backend."""
        return self.exported.get(backend, [])


@dataclass(frozen=True, slots=True)
class Route:
    """From one life of a router to one sampler's address."""

    router: str
    address: str
    rings: RingHistory
    remembers: bool = True
    """Whether the router gets the bytes that the client sent, and knows them again."""


Sent = dict[int, Attempt]
"""The copies of one call, and the attempt that each was sent for."""


class Ledger:
    """All attempts and all copies of a run; see the module's rules."""

    def __init__(self, trace_of: Callable[[int], bytes]) -> None:
        """``trace_of`` says of every copy which trace it belongs to."""
        self.attempts: list[Attempt] = []
        self.copies: dict[int, Copy] = {}
        self.taken_by: dict[str, int] = {}
        self.exported_by: dict[tuple[str, int], int] = {}
        self.doubted_by: dict[str, int] = {}
        self._trace_of = trace_of
        self.broken: list[str] = []
        """What was raised, for whoever calls may take it for a fault of the network."""

    def begin(self, router: str, copies: Iterable[int], *, at_s: float) -> Attempt:
        """A client sends; the attempt's answer is filled in by whoever learns it."""
        attempt = Attempt(router, tuple(copies), at_s)
        self.attempts.append(attempt)
        for copy in attempt.copies:
            self.copies.setdefault(copy, Copy()).attempts.append(attempt)
        return attempt

    def sent(self, copies: Iterable[int], route: Route, *, at_s: float) -> Sent:
        """A router begins a call that carries these; for which attempts."""
        sent: Sent = {}
        address = route.address
        self._must(
            route.rings.may_send(address, at_s=at_s),
            f"{route.router} still sends to {address}, which left long ago",
        )
        for number in copies:
            begun = self._attempts_at(number, route.router)
            sent[number] = _meant(begun)
            owners = route.rings.owners(
                self._trace_of(number), since_s=begun[0].begun_s
            )
            self._must(
                address in owners,
                f"{route.router} splits a trace: {address} never owned copy"
                f" {number:x}, {sorted(owners)} did",
            )
            self._must(
                not route.remembers or not _is_known(number, begun, at_s=at_s),
                f"{route.router} knew that copy {number:x} had arrived at {address}",
            )
        return sent

    def arrived(self, sent: Sent, *, at_s: float) -> None:
        """The router was told that a sampler took all of these."""
        for number, attempt in sent.items():
            attempt.arrived.setdefault(number, at_s)

    def taken(self, copies: Iterable[int], sampler: str, *, at_ns: int) -> None:
        """A sampler holds these from now on."""
        for number in copies:
            copy = self.copies[number]
            copy.taken.append(Taking(sampler, at_ns))
            self.taken_by[sampler] = self.taken_by.get(sampler, 0) + 1
            self._must(
                len(copy.taken) <= len(copy.attempts) + copy.doubted,
                f"copy {number:x} was sent again although its delivery was known",
            )

    def doubted(self, copies: Iterable[int], router: str) -> None:
        """A router (that knows it) cannot know whether a sampler took these."""
        for copy in copies:
            self.copies[copy].doubted += 1
            self.doubted_by[router] = self.doubted_by.get(router, 0) + 1

    def exported(self, copies: Iterable[int], sampler: str, *, backend: int) -> None:
        """The backend got these."""
        key = (sampler, backend)
        for number in copies:
            copy = self.copies[number]
            copy.exported.setdefault(backend, []).append(sampler)
            self.exported_by[key] = self.exported_by.get(key, 0) + 1
            allowed = len(copy.taken) + copy.export_doubted.get(backend, 0)
            self._must(
                any(one.sampler == sampler for one in copy.taken),
                f"copy {number:x} came from a sampler that never took it",
            )
            self._must(
                len(copy.exports(backend)) <= allowed,
                f"copy {number:x} was exported again although it had arrived",
            )

    def export_doubted(self, copies: Iterable[int], *, backend: int) -> None:
        """A sampler cannot know whether the backend got these."""
        for copy in copies:
            doubted = self.copies[copy].export_doubted
            doubted[backend] = doubted.get(backend, 0) + 1

    def _must(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.broken.append(otherwise)
            raise AssertionError(otherwise)

    def _attempts_at(self, number: int, router: str) -> list[Attempt]:
        return [one for one in self.copies[number].attempts if one.router == router]


def _meant(attempts: Sequence[Attempt]) -> Attempt:
    """The attempt that a router sends for: the newest, but for those that it refused or
    whose client had left, for which nothing is begun any more (an earlier one may be
    acknowledged and not delivered)."""
    over = (Answer.REFUSED, Answer.CANCELLED)
    kept = [one for one in attempts if one.answer not in over]
    return (kept or attempts)[-1]


def _is_known(number: int, attempts: Sequence[Attempt], *, at_s: float) -> bool:
    """Whether the newest attempt began when an earlier one, refused or cancelled, had
    brought this copy to a backend."""
    if any(one.answer is Answer.ACKNOWLEDGED for one in attempts[:-1]):
        return False  # and perhaps early: then it was its copy that arrived
    newest_s = attempts[-1].begun_s
    return any(
        one.answer in (Answer.REFUSED, Answer.CANCELLED)
        and one.arrived.get(number, newest_s) < newest_s
        and at_s - one.arrived[number] < _REMEMBERED_S
        for one in attempts[:-1]
    )
