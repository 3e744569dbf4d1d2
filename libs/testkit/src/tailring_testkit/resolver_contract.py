"""What every resolver keeps, as tests that run over each of them.

Subclass `ResolverContract` in a test module under a name that begins with ``Test`` and
give it a ``subject`` fixture; a resolver that follows a source takes
`FollowingContract`. A `Subject` is the resolver with the strings that its endpoints'
ring names have, and, if it follows, the levers of its source.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from tailring_resolvers import Endpoint, ResolutionError, Resolver
from tailring_runtime.address import split_host_port

__all__ = ["FollowingContract", "Heard", "ResolverContract", "Subject", "ring_names"]

Lever = Callable[[], Awaitable[None]]


async def _no_lever() -> None:
    raise AssertionError("this subject has no such lever")


async def _no_change(*_names: str) -> None:
    raise AssertionError("this subject's source does not change")


@dataclass(slots=True)
class Subject:
    """A resolver that was not started, and its source.

    ``names`` are the ring names that the source has now, sorted bytewise. ``change``
    gives the source other ones, in whatever order they are passed; ``fail`` breaks
    it and ``empty`` takes all away; each returns once a started resolver has asked.
    """

    resolver: Resolver
    names: tuple[str, ...]
    change: Callable[..., Awaitable[None]] = _no_change
    fail: Lever = _no_lever
    empty: Lever = _no_lever
    others: tuple[str, ...] = ()


@dataclass(slots=True)
class Heard:
    """Listens to a resolver and keeps what it was told."""

    lists: list[tuple[Endpoint, ...]] = field(default_factory=list)

    def __call__(self, endpoints: tuple[Endpoint, ...]) -> None:
        self.lists.append(endpoints)

    def names(self) -> list[tuple[str, ...]]:
        """The ring names of each list that was told."""
        return [ring_names(one) for one in self.lists]


def ring_names(endpoints: tuple[Endpoint, ...]) -> tuple[str, ...]:
    """The ring names of a list, in its order."""
    return tuple(one.ring_name for one in endpoints)


class ResolverContract:
    """Facts about every resolver."""

    async def test_nothing_is_known_before_the_start(self, subject: Subject) -> None:
        """A resolver that was not started has an empty list."""
        assert subject.resolver.endpoints() == ()

    async def test_the_start_tells_the_list_once(self, subject: Subject) -> None:
        """When start returns, the listener has heard the list exactly once."""
        heard = Heard()
        await subject.resolver.start(heard)
        assert heard.names() == [subject.names]
        assert subject.resolver.endpoints() == heard.lists[0]
        await subject.resolver.stop()

    async def test_the_list_is_in_bytewise_order(self, subject: Subject) -> None:
        """The list is sorted by the UTF-8 bytes of its ring names."""
        heard = Heard()
        await subject.resolver.start(heard)
        told = heard.names()[0]
        assert list(told) == sorted(told, key=str.encode)
        await subject.resolver.stop()

    async def test_every_address_has_a_port(self, subject: Subject) -> None:
        """Each address can be dialled as host and port, whatever the ring name is."""
        for endpoint in await subject.resolver.resolve():
            host, port = split_host_port(endpoint.address)
            assert host
            assert port > 0

    async def test_resolve_does_not_touch_the_kept_list(self, subject: Subject) -> None:
        """Asking the source by hand answers the list and keeps nothing of it."""
        assert ring_names(await subject.resolver.resolve()) == subject.names
        assert subject.resolver.endpoints() == ()

    async def test_stop_is_safe_unstarted_and_twice(self, subject: Subject) -> None:
        """Stopping raises nothing before a start nor after a stop."""
        await subject.resolver.stop()
        await subject.resolver.stop()

    async def test_stop_keeps_the_list_and_is_silent(self, subject: Subject) -> None:
        """After stop the last list can still be read and nothing more was told."""
        heard = Heard()
        await subject.resolver.start(heard)
        await subject.resolver.stop()
        await subject.resolver.stop()
        assert heard.names() == [subject.names]
        assert ring_names(subject.resolver.endpoints()) == subject.names

    async def test_it_has_a_kind(self, subject: Subject) -> None:
        """The kind, a label of metrics, is a lower-case word."""
        assert subject.resolver.kind.isidentifier()
        assert subject.resolver.kind.islower()


class FollowingContract(ResolverContract):
    """Facts about every resolver whose source may change."""

    async def test_a_change_is_told_once(self, subject: Subject) -> None:
        """A new list is told as soon as the source was asked, and once."""
        heard = Heard()
        await subject.resolver.start(heard)
        await subject.change(*subject.others)
        await subject.change(*subject.others)
        assert heard.names() == [subject.names, tuple(sorted(subject.others))]
        assert subject.resolver.endpoints() == heard.lists[-1]
        await subject.resolver.stop()

    async def test_another_order_is_no_change(self, subject: Subject) -> None:
        """The same endpoints in another order are not told again."""
        heard = Heard()
        await subject.resolver.start(heard)
        await subject.change(*reversed(subject.names))
        assert heard.names() == [subject.names]
        await subject.resolver.stop()

    async def test_a_failure_keeps_the_list(self, subject: Subject) -> None:
        """While the source fails, the last good list stays and nothing is told."""
        heard = Heard()
        await subject.resolver.start(heard)
        await subject.fail()
        assert ring_names(subject.resolver.endpoints()) == subject.names
        assert heard.names() == [subject.names]
        await subject.resolver.stop()

    async def test_an_empty_answer_keeps_the_list(self, subject: Subject) -> None:
        """When the source has nothing any more, the last good list stays."""
        heard = Heard()
        await subject.resolver.start(heard)
        await subject.empty()
        assert ring_names(subject.resolver.endpoints()) == subject.names
        assert heard.names() == [subject.names]
        await subject.resolver.stop()

    async def test_it_recovers_from_a_failure(self, subject: Subject) -> None:
        """The first good answer after a failure is told if it differs."""
        heard = Heard()
        await subject.resolver.start(heard)
        await subject.fail()
        await subject.change(*subject.others)
        assert heard.names() == [subject.names, tuple(sorted(subject.others))]
        await subject.resolver.stop()

    async def test_a_failing_source_does_not_fail_the_start(
        self, subject: Subject
    ) -> None:
        """Start returns without a list, and the list is told once there is one."""
        heard = Heard()
        await subject.fail()
        await subject.resolver.start(heard)
        assert heard.lists == []
        assert subject.resolver.endpoints() == ()
        await subject.change(*subject.names)
        assert heard.names() == [subject.names]
        await subject.resolver.stop()

    async def test_resolve_says_that_the_source_fails(self, subject: Subject) -> None:
        """Asking a failing source by hand raises the error of the package."""
        await subject.fail()
        with pytest.raises(ResolutionError):
            await subject.resolver.resolve()

    async def test_nothing_is_told_after_the_stop(self, subject: Subject) -> None:
        """A change of the source after stop is not told."""
        heard = Heard()
        await subject.resolver.start(heard)
        await subject.resolver.stop()
        await subject.change(*subject.others)
        assert heard.names() == [subject.names]
        assert ring_names(subject.resolver.endpoints()) == subject.names
