"""The place of a router: what its resolver answers, one process after the other.

The processes come and go; what the resolver says, cut cables and the history of its
lists belong to the place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from tests.simulation.determinism import History
from tests.simulation.ledger import Ledger, Route
from tests.simulation.links import SamplerLink
from tests.simulation.network import Network
from tests.simulation.rings import RingHistory
from tests.simulation.routers import RouterLife
from tests.simulation.samplers import SamplerMachine
from tests.simulation.scenario import Scenario

from tailring_router.client import Client
from tailring_testkit.fake_resolver import FakeResolver

__all__ = ["RouterMachine"]


class RouterMachine:
    """A router's place; ``listed`` is what its resolver answers when it does."""

    def __init__(
        self,
        number: int,
        scenario: Scenario,
        *,
        machines: Mapping[str, SamplerMachine],
        network: Network,
        ledger: Ledger,
        history: History,
    ) -> None:
        self.name = f"router{number}"
        self.listed: tuple[str, ...] = tuple(machines)
        self.lives: list[RouterLife] = []
        self.up = False
        self._silent = False
        self._blocked: set[str] = set()
        self._links: list[tuple[str, SamplerLink]] = []
        self._scenario = scenario
        self._machines = machines
        self._network = network
        self._ledger = ledger
        self._history = history
        self._resolver = FakeResolver()
        self._rings = self._new_rings()

    @property
    def life(self) -> RouterLife:
        """The newest life."""
        return self.lives[-1]

    async def start(self) -> None:
        """Begin another life, which knows no backend while the resolver is silent."""
        self._resolver = FakeResolver(*(() if self._silent else self.listed))
        self._rings = rings = self._new_rings()
        self._links = []
        self._tell()
        name = f"{self.name}#{len(self.lives)}"
        knobs = self._scenario.router

        def connect(address: str) -> Client:
            return self._connect(Route(name, address, rings, not knobs.batch))

        life = RouterLife(name, knobs, resolver=self._resolver, connect=connect)
        self.lives.append(life)
        await life.start()
        self.up = True

    async def end(self, *, join_s: float, cut: bool) -> None:
        """End this life; see `RouterLife.end`."""
        await self.life.end(join_s=join_s, cut=cut)
        self.up = False

    def hear(self, addresses: Iterable[str]) -> None:
        """Another list; heard when the resolver answers."""
        self.listed = tuple(sorted(addresses))
        self._history.note(f"{self.name} is listed {list(self.listed)}")
        if not self._silent:
            self._tell()
            self._resolver.set(*self.listed)

    def silence(self, *, silent: bool) -> None:
        """The resolver answers nothing any more, or answers again."""
        self._silent = silent
        if silent:
            self._resolver.fail()
        else:
            self.hear(self.listed)

    def block(self, address: str, *, blocked: bool) -> None:
        """Cut the cable to a sampler, or mend it."""
        (self._blocked.add if blocked else self._blocked.discard)(address)
        for to, link in self._links:
            if to == address:
                link.blocked = blocked

    def _tell(self) -> None:
        if self._silent:
            return
        self._rings.tell(self.listed, at_s=asyncio.get_running_loop().time())

    def _connect(self, route: Route) -> Client:
        link = SamplerLink(
            route,
            machine=self._machines[route.address],
            network=self._network,
            faults=self._scenario.to_sampler,
            ledger=self._ledger,
            history=self._history,
        )
        link.blocked = route.address in self._blocked
        self._links.append((route.address, link))
        return link

    def _new_rings(self) -> RingHistory:
        knobs = self._scenario.router
        return RingHistory(knobs.generation, knobs.retire_timeout_s)
