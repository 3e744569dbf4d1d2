"""The list that every resolver keeps: when a change is told, and when it is held."""

from __future__ import annotations

import pytest

from tailring_resolvers import SPECS, Endpoint
from tailring_resolvers.endpoint import named
from tailring_resolvers.kept import KeptList
from tailring_runtime.metrics import Metrics
from tailring_testkit.resolver_contract import Heard

S = 1_000_000_000


def some(*names: str) -> list[Endpoint]:
    """Endpoints of these names."""
    return [named(name) for name in names]


class Kept:
    """A list with its listener, at times of the test."""

    def __init__(self, *, empty_s: int = 0, down_s: int = 0) -> None:
        self.metrics = Metrics()
        self.metrics.declare(*SPECS)
        self.heard = Heard()
        self.list = KeptList(
            "k8s",
            metrics=self.metrics,
            hold_empty_ns=empty_s * S,
            hold_down_ns=down_s * S,
        )

    def accept(self, at_s: int, *names: str) -> bool:
        """The source says ``names``."""
        return self.list.accept(some(*names), on_change=self.heard, now_ns=at_s * S)

    def settle(self, at_s: int) -> bool:
        """The time is come, as the caller thinks."""
        return self.list.settle(on_change=self.heard, now_ns=at_s * S)

    def counted(self, name: str) -> float:
        """A metric."""
        return self.metrics.value(f"otelcol_loadbalancer_{name}")


def test_without_holds_every_change_is_told_at_once() -> None:
    """A list that differs is told when it is accepted, an empty one too."""
    kept = Kept()
    assert kept.accept(0, "b", "a")
    assert not kept.accept(0, "a", "b")
    assert kept.accept(0)
    assert kept.heard.names() == [("a", "b"), ()]
    assert kept.list.due_ns is None


def test_an_empty_list_is_told_when_it_has_been_empty_for_long() -> None:
    """The list is emptied ``hold_empty`` after the source first said so."""
    kept = Kept(empty_s=30)
    kept.accept(0, "a")
    assert not kept.accept(100)
    assert not kept.accept(120)
    assert kept.list.due_ns == 130 * S
    assert not kept.settle(129)
    assert kept.settle(130)
    assert kept.heard.names() == [("a",), ()]
    assert kept.counted("num_backends") == 0


def test_a_list_that_is_no_longer_empty_ends_the_hold() -> None:
    """What was empty for a while and is not any more begins anew."""
    kept = Kept(empty_s=30)
    kept.accept(0, "a")
    kept.accept(100)
    assert kept.accept(110, "b")
    assert kept.list.due_ns is None
    kept.accept(125)
    assert kept.list.due_ns == 155 * S
    assert kept.heard.names() == [("a",), ("b",)]


def test_the_same_list_after_an_empty_one_is_no_change() -> None:
    """A source that was empty for a moment has changed nothing."""
    kept = Kept(empty_s=30)
    kept.accept(0, "a")
    kept.accept(1)
    kept.accept(2, "a")
    assert not kept.settle(100)
    assert kept.heard.names() == [("a",)]
    assert kept.counted("num_backend_updates") == 1


def test_two_changes_are_as_far_apart_as_the_hold_says() -> None:
    """What comes sooner waits, and only the newest of it is told."""
    kept = Kept(down_s=10)
    kept.accept(0, "a")
    assert not kept.accept(1, "a", "b")
    assert not kept.accept(2, "a", "c")
    assert kept.list.due_ns == 10 * S
    assert kept.settle(10)
    assert not kept.accept(19, "a")
    assert kept.accept(20, "a")
    assert kept.heard.names() == [("a",), ("a", "c"), ("a",)]


def test_a_change_after_a_quiet_time_is_told_at_once() -> None:
    """The hold delays nothing where the last change is long ago."""
    kept = Kept(down_s=10)
    kept.accept(0, "a")
    assert kept.accept(10, "b")


def test_an_endpoint_that_flaps_back_is_no_change() -> None:
    """What is as it was when the hold ends has changed nothing."""
    kept = Kept(down_s=10)
    kept.accept(0, "a", "b")
    for at_s in range(1, 10):
        kept.accept(at_s, *(["a"] if at_s % 2 else ["a", "b"]))
    kept.accept(9, "a", "b")
    assert not kept.settle(10)
    assert kept.heard.names() == [("a", "b")]
    assert kept.counted("num_resolutions") == 11


def test_the_first_list_after_an_empty_one_is_told_at_once() -> None:
    """Nobody waits for a hold while there are no backends at all."""
    kept = Kept(empty_s=5, down_s=60)
    kept.accept(0, "a")
    kept.accept(1)
    assert kept.list.due_ns == 60 * S
    assert kept.settle(60)
    assert kept.accept(61, "b")


def test_a_listener_that_fails_is_told_again() -> None:
    """What was not told stays due, and the number of changes does not count it."""
    kept = Kept()

    def broken(_endpoints: tuple[Endpoint, ...]) -> None:
        """A listener with a mistake in it."""
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        kept.list.accept(some("a"), on_change=broken)
    assert kept.list.endpoints == ()
    assert kept.settle(0)
    assert kept.heard.names() == [("a",)]
    assert kept.counted("num_backend_updates") == 1
