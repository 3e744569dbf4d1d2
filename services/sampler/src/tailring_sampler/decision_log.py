"""What was decided lately, and why: a ring of compact records, to explain from.

Rules:

* Bounded in bytes: the oldest records go first, a chunk at a time. Spans that came late
  have a ring of their own, an eighth as large, so that they push out no decision.
* A record is a few dozen bytes: id, door, decision, times, sizes, one byte a policy for
  its vote, and eight for each policy that compares a value (`fact` in
  `policies.policy`). It becomes text only when somebody asks.
* A record keeps the meaning of its votes: policies are named by the list that cast
  them.

A look-up reads the whole ring from its newest end, which is fast enough for a person
and for nothing else. Pure: no clock, no I/O. It does not know who asks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final

from tailring_otlpwire import TraceSlice
from tailring_sampler.doors import Decision, Door
from tailring_sampler.judge import VOTES, NamedPolicy, Verdict
from tailring_sampler.policies.policy import Trace

__all__ = ["NO_AGE", "DecisionLog", "Departure", "Entry", "PolicyAnswer"]

# An age that is not known.
NO_AGE: Final = -1
# A value that a policy could not give.
_NO_FACT: Final = -(1 << 63)
_FACT_MAX: Final = (1 << 63) - 1
# Trace id, time of the entry, age of the trace, spans, bytes, door, decision.
_FIXED: Final = "<16sqqQQBB"
_ID_BYTES: Final = 16
_CHUNK_BYTES: Final = 256 * 1024
_CHUNKS_MIN: Final = 8
_LATE_SHARE: Final = 8

_DOORS: Final = tuple(Door)
_DOOR_AT: Final = {door: at for at, door in enumerate(_DOORS)}
_DECISIONS: Final = tuple(Decision)
_DECISION_AT: Final = {decision: at for at, decision in enumerate(_DECISIONS)}


@dataclass(frozen=True, slots=True)
class Departure:
    """A trace that left: how much of it, and how old it was (or `NO_AGE`)."""

    trace_id: bytes
    spans: int
    size_bytes: int
    age_ns: int


@dataclass(frozen=True, slots=True)
class PolicyAnswer:
    """What one policy said of a trace: its vote, in words, and what it compared."""

    policy: str
    vote: str
    why: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One record, read. ``at_ns`` is on the clock of the calls."""

    trace_id: bytes
    at_ns: int
    age_ns: int
    spans: int
    size_bytes: int
    door: Door
    decision: Decision
    answers: tuple[PolicyAnswer, ...]

    @property
    def recorded(self) -> str | None:
        """The policy that decided: the first that dropped, else that sampled."""
        deciding = "dropped" if self.decision is Decision.DROPPED else "sampled"
        if self.decision not in (Decision.SAMPLED, Decision.DROPPED):
            return None
        return next((it.policy for it in self.answers if it.vote == deciding), None)


class _Layout:
    """How the records of one list of policies are packed."""

    def __init__(self, policies: Sequence[NamedPolicy]) -> None:
        self.policies = tuple(policies)
        every = [(named, getattr(named.policy, "fact", None)) for named in policies]
        self.facts: list[Callable[[Trace], int]] = [f for _, f in every if f]
        self.places = [at for at, (_, fact) in enumerate(every) if fact]
        self.record = Struct(f"{_FIXED}{len(policies)}s{len(self.facts)}q")
        self.no_votes = bytes(len(policies))
        self.no_facts = (_NO_FACT,) * len(self.facts)

    def read(self, chunk: bytes | bytearray, at: int) -> Entry:
        """The record at an offset, with its policies' reasons."""
        fields: tuple[Any, ...] = self.record.unpack_from(chunk, at)
        trace_id, at_ns, age_ns, spans, size_bytes, door, decision, votes = fields[:8]
        facts = dict(zip(self.places, fields[8:], strict=True))
        asked = enumerate(self.policies) if any(votes) else ()
        return Entry(
            trace_id,
            at_ns,
            age_ns,
            spans,
            size_bytes,
            _DOORS[door],
            _DECISIONS[decision],
            tuple(
                PolicyAnswer(
                    named.name,
                    VOTES[votes[place]],
                    _why(named, trace_id, facts.get(place, 0), asked=votes[place] != 0),
                )
                for place, named in asked
            ),
        )


class _Ring:
    """Chunks of records of equal size each, the oldest chunk goes first."""

    def __init__(self, bytes_max: int, layout: _Layout) -> None:
        self._bytes_max = bytes_max
        self.layout = layout
        self._open = bytearray()
        self._closed: deque[tuple[_Layout, bytes]] = deque()
        self._closed_bytes = 0

    @property
    def size_bytes(self) -> int:
        """What the records take."""
        return self._closed_bytes + len(self._open)

    def append(self, record: bytes) -> None:
        """Take one record of the present layout."""
        self._open += record
        if len(self._open) >= min(_CHUNK_BYTES, self._bytes_max // _CHUNKS_MIN):
            self._closed.append((self.layout, bytes(self._open)))
            self._closed_bytes += len(self._open)
            self._open = bytearray()
        while self._closed and self.size_bytes > self._bytes_max:
            self._closed_bytes -= len(self._closed.popleft()[1])

    def entries(self) -> Iterator[Entry]:
        """All records, the newest first."""
        for layout, chunk in self._chunks():
            size = layout.record.size
            for at in range(len(chunk) - size, -1, -size):
                yield layout.read(chunk, at)

    def find(self, trace_id: bytes) -> Iterator[Entry]:
        """The records of one trace, the newest first."""
        for layout, chunk in self._chunks():
            at = chunk.rfind(trace_id)
            while at >= 0:
                if at % layout.record.size == 0:
                    yield layout.read(chunk, at)
                at = chunk.rfind(trace_id, 0, at + _ID_BYTES - 1)

    def _chunks(self) -> Iterator[tuple[_Layout, bytes | bytearray]]:
        yield self.layout, self._open
        yield from reversed(self._closed)


class DecisionLog:
    """See the module's rules. ``bytes_max`` of 0 keeps nothing."""

    def __init__(self, bytes_max: int, policies: Sequence[NamedPolicy]) -> None:
        self._off = bytes_max <= 0
        self._late = _Ring(bytes_max // _LATE_SHARE, _Layout(()))
        self._decided = _Ring(bytes_max - bytes_max // _LATE_SHARE, _Layout(policies))

    @property
    def size_bytes(self) -> int:
        """What all records take."""
        return self._decided.size_bytes + self._late.size_bytes

    def decided(
        self, trace: Trace, verdict: Verdict, *, left: tuple[Door, int], now_ns: int
    ) -> None:
        """Record a judgement while the trace still has its spans.

        ``left`` is the door and the age of the trace in ns.
        """
        if self._off:
            return
        layout = self._decided.layout
        summary = trace.summary
        self._decided.append(
            layout.record.pack(
                trace.trace_id,
                now_ns,
                left[1],
                summary.span_count,
                summary.byte_count,
                _DOOR_AT[left[0]],
                _DECISION_AT[verdict.decision],
                verdict.votes,
                *[_value(fact, trace) for fact in layout.facts],
            )
        )

    def left(
        self, trace: Departure, door: Door, *, decision: Decision, now_ns: int
    ) -> None:
        """Record that a trace left unjudged, or that spans of it came late."""
        if self._off:
            return
        ring = self._late if door is Door.LATE else self._decided
        layout = ring.layout
        ring.append(
            layout.record.pack(
                trace.trace_id,
                now_ns,
                trace.age_ns,
                trace.spans,
                trace.size_bytes,
                _DOOR_AT[door],
                _DECISION_AT[decision],
                layout.no_votes,
                *layout.no_facts,
            )
        )

    def late(
        self, part: TraceSlice, decision: Decision, *, age_ns: int, now_ns: int
    ) -> None:
        """Record spans that followed a decision which is ``age_ns`` old."""
        came = Departure(part.trace_id, part.span_count, part.byte_count, age_ns)
        self.left(came, Door.LATE, decision=decision, now_ns=now_ns)

    def find(self, trace_id: bytes) -> Entry | None:
        """The newest record of how a trace left, if it is remembered."""
        return next(self._decided.find(trace_id), None)

    def late_of(self, trace_id: bytes) -> Iterator[Entry]:
        """The remembered late spans of a trace, the newest first."""
        return self._late.find(trace_id)

    def recent(self) -> Iterator[Entry]:
        """How traces left, the newest first."""
        return self._decided.entries()


def _value(fact: Callable[[Trace], int], trace: Trace) -> int:
    try:
        value = fact(trace)
        return value if -_FACT_MAX <= value <= _FACT_MAX else _NO_FACT
    except Exception:  # noqa: BLE001 - a plug-in's; shown as a value that is missing
        return _NO_FACT


def _why(named: NamedPolicy, trace_id: bytes, fact: int, *, asked: bool) -> str:
    """What the policy says it compared; empty when it does not say."""
    why: Callable[[bytes, int], str] | None = getattr(named.policy, "why", None)
    if why is None or not asked:
        return ""
    if fact == _NO_FACT:
        return "the value was not recorded"
    try:
        return why(trace_id, fact)
    except Exception as error:  # noqa: BLE001 - a plug-in's text must not end the page
        return f"no text: {type(error).__name__}"
