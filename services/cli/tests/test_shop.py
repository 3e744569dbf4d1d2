"""The shop tells visits that could have happened."""

from __future__ import annotations

from random import Random

import pytest

from tailring_cli.demo.shop import SERVICES, Call, Kind, visit

_VISITS = 400


@pytest.fixture(scope="module")
def visits() -> list[Call]:
    """Many visits of one seed."""
    rng = Random(7)
    return [visit(rng) for _ in range(_VISITS)]


def test_a_seed_repeats_the_visits(visits: list[Call]) -> None:
    """The same seed tells the same visits."""
    rng = Random(7)
    assert [visit(rng) for _ in range(_VISITS)] == visits


def test_parents_enclose_their_children(visits: list[Call]) -> None:
    """A span starts no later and ends no earlier than every span below it."""
    for root in visits:
        for call in root.walk():
            assert call.start_ns <= call.end_ns
            for child in call.children:
                assert call.start_ns <= child.start_ns
                assert child.end_ns <= call.end_ns


def test_calls_cross_services_through_a_client_span(visits: list[Call]) -> None:
    """A CLIENT span is its caller's, and has one SERVER span of the called service."""
    calls = [call for root in visits for call in root.walk()]
    for caller in (call for call in calls if call.kind is Kind.SERVER):
        assert {child.kind for child in caller.children} <= {Kind.CLIENT}
        assert {child.service for child in caller.children} <= {caller.service}
    for client in (call for call in calls if call.kind is Kind.CLIENT):
        assert [child.kind for child in client.children] == [Kind.SERVER]


def test_a_failure_reaches_the_root(visits: list[Call]) -> None:
    """When a span below failed, the visit itself failed."""
    failed = [root for root in visits if any(call.failure for call in root.walk())]
    assert failed
    assert all(root.failure for root in failed)


def test_some_visits_fail_and_some_are_slow(visits: list[Call]) -> None:
    """The shop has errors and slow visits, but most visits are neither."""
    failed = sum(bool(root.failure) for root in visits)
    slow = sum(root.end_ns > 500_000_000 for root in visits)
    assert 0 < failed < _VISITS // 10
    assert 0 < slow < _VISITS // 10


def test_a_visit_takes_several_services(visits: list[Call]) -> None:
    """Every visit has spans of three services or more, and all services are used."""
    used = [{call.service for call in root.walk()} for root in visits]
    assert min(len(services) for services in used) >= 3
    assert set().union(*used) == set(SERVICES)
