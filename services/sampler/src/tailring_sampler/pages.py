"""The sampler's debug pages: what became of a trace, and what the policies did.

``tracez`` lists the newest ends of traces, or answers for one with ``?trace_id=<32 hex
digits>``. ``policyz`` shows each policy's votes, errors and time since the start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final, Protocol

from tailring_runtime.pages import BadQuery, Page, Pages, Table
from tailring_sampler.explanation import Explanation, explain, state_of
from tailring_sampler.sampler import Sampler

__all__ = ["Sampling", "add_sampler_pages"]

_TRACE_ID_CHARS: Final = 32
_LISTED_MAX: Final = 100
_NS: Final = 1e9
_MS_NS: Final = 1e6

_TRACE_COLUMNS: Final = (
    "processor",
    "state",
    "decision",
    "policy",
    "when",
    "age_s",
    "spans",
    "bytes",
    "late_spans",
    "note",
)
_POLICY_COLUMNS: Final = (
    "policy",
    "asked",
    "sampled",
    "not_sampled",
    "dropped",
    "errors",
    "time_ms",
    "mean_us",
)


class Sampling(Protocol):
    """What the pages ask of a tail sampling processor."""

    @property
    def name(self) -> str:
        """Its id."""

    @property
    def sampler(self) -> Sampler:
        """What it holds and has decided."""

    @property
    def now_ns(self) -> int:
        """Its clock."""


def add_sampler_pages(
    pages: Pages, processors: Callable[[], Iterable[Sampling]]
) -> None:
    """Add ``tracez`` and ``policyz`` over what ``processors`` answers at the time."""

    def tracez(query: Mapping[str, str]) -> Page:
        """One trace, or the newest of each processor."""
        every = list(processors())
        if "trace_id" not in query:
            return Page("Traces", tables=tuple(_newest(one) for one in every))
        return _one_trace(every, _trace_id(query["trace_id"]))

    def policyz(_query: Mapping[str, str]) -> Page:
        """Every policy of every processor, in the order of the configuration."""
        return Page("Policies", tables=tuple(_policies(one) for one in processors()))

    pages.add(
        "tracez",
        tracez,
        about="the newest decisions; ?trace_id=<hex> says what became of one and why",
    )
    pages.add("policyz", policyz, about="votes, errors and time of each policy")


def _trace_id(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(text) != _TRACE_ID_CHARS or len(found) * 2 != _TRACE_ID_CHARS:
        raise BadQuery(f"trace_id must be {_TRACE_ID_CHARS} hex digits, not {text!r}")
    return found


def _one_trace(every: list[Sampling], trace_id: bytes) -> Page:
    told = [(one, explain(one.sampler, trace_id, one.now_ns)) for one in every]
    known = [(one, it) for one, it in told if it.state != "unknown"] or told
    votes = tuple(
        (one.name, answer.policy, answer.vote, answer.why)
        for one, it in known
        for answer in it.answers
    )
    rows = tuple(_row(one, it) for one, it in known)
    tables = [Table("Trace", _TRACE_COLUMNS, rows)]
    if votes:
        tables.append(Table("Votes", ("processor", "policy", "vote", "why"), votes))
    return Page("Trace", facts={"trace_id": trace_id.hex()}, tables=tuple(tables))


def _row(one: Sampling, it: Explanation) -> tuple[object, ...]:
    return (
        one.name,
        it.state,
        None if it.decision is None else it.decision.value,
        it.policy,
        None if it.at_ns is None else _moment(one, it.at_ns),
        None if it.age_ns is None else it.age_ns / _NS,
        it.spans,
        it.size_bytes,
        it.late_spans,
        it.note,
    )


def _moment(one: Sampling, at_ns: int) -> str:
    """The wall clock of a moment that was ``at_ns`` on the processor's clock."""
    then = datetime.now(UTC) - timedelta(seconds=(one.now_ns - at_ns) / _NS)
    return then.isoformat(timespec="milliseconds")


def _newest(one: Sampling) -> Table:
    columns = ("trace_id", "state", "policy", "when", "age_s", "spans", "bytes")
    rows = tuple(
        (
            entry.trace_id.hex(),
            state_of(entry),
            entry.recorded,
            _moment(one, entry.at_ns),
            entry.age_ns / _NS,
            entry.spans,
            entry.size_bytes,
        )
        for entry in islice(one.sampler.log.recent(), _LISTED_MAX)
    )
    return Table(f"{one.name}: newest {_LISTED_MAX}", columns, rows)


def _policies(one: Sampling) -> Table:
    rows = tuple(
        (
            tally.name,
            tally.executions,
            tally.sampled,
            tally.not_sampled,
            tally.dropped,
            tally.errors,
            tally.time_ns / _MS_NS,
            tally.time_ns / 1000 / max(1, tally.executions),
        )
        for tally in one.sampler.judge.tallies
    )
    return Table(one.name, _POLICY_COLUMNS, rows)
