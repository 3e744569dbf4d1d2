"""The count of a fault run can fail: what it is for is what it sees."""

from __future__ import annotations

from array import array

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from tests.faults.counted import Counted, counted
from tests.faults.trial import Result

from tailring_testkit.numbered import Load
from tailring_testkit.pressure import Pressed

_LOAD = Load(32, seed=1, traces_per_request=2)


def _pressed(requests: int) -> Pressed:
    return Pressed(requests=requests, acknowledged=array("I", range(requests)))


def test_the_numbers_of_a_request_are_those_in_it() -> None:
    """What a load says that a request holds is what is encoded in it."""
    for request, payload in enumerate(_LOAD.requests()):
        sent = ExportTraceServiceRequest.FromString(payload)
        spans = sent.resource_spans[0].scope_spans[0].spans
        numbers = [int.from_bytes(span.span_id, "big") for span in spans]
        assert numbers == list(_LOAD.numbers_of(request))


def test_everything_once_is_nothing_lost() -> None:
    """Two backends with whole traces between them make an exact count."""
    taken = [array("Q", range(1, 17)), array("Q", range(17, 33))]
    assert counted(_LOAD, _pressed(4), taken) == Counted(32, 0, 0, 0)


def test_what_is_missing_twice_or_split_is_seen() -> None:
    """A span that no backend has, one that came twice, a trace at two backends."""
    taken = [array("Q", [*range(1, 16), 3]), array("Q", [16, *range(17, 32)])]
    assert counted(_LOAD, _pressed(4), taken) == Counted(32, 1, 1, 1)


def test_what_nobody_acknowledged_is_not_lost() -> None:
    """A request that was given up may be missing."""
    assert counted(_LOAD, _pressed(0), [array("Q")]) == Counted(0, 0, 0, 0)


def test_more_duplicates_than_doubts_are_a_problem() -> None:
    """So are lost spans, split traces and requests without an answer."""
    sound = Result("x", 32, 0, 1, 1, 0, _pressed(4), 1.0)
    assert not sound.problems()
    given_up = Pressed(given_up=1)
    broken = Result("x", 2_000_000, 1, 3000, 2, 1, given_up, 1.0)
    assert len(broken.problems()) == 5
