"""What stands between a router and a sampler: a `Client` over the fake network."""

from __future__ import annotations

import asyncio
from zlib import crc32

from tests.simulation.determinism import History
from tests.simulation.ledger import Ledger, Route
from tests.simulation.network import Call, Fate, Network, end
from tests.simulation.samplers import SamplerMachine
from tests.simulation.scenario import Faults
from tests.simulation.spans import copies_of

from tailring_pipeline import Refused, Rejected

__all__ = ["SamplerLink"]


class SamplerLink:
    """One life of a router's connection to one sampler's address."""

    def __init__(
        self,
        route: Route,
        *,
        machine: SamplerMachine,
        network: Network,
        faults: Faults,
        ledger: Ledger,
        history: History,
    ) -> None:
        self._route = route
        self._machine = machine
        self._network = network
        self._faults = faults
        self._ledger = ledger
        self._history = history
        self._calls: dict[Call, None] = {}
        self._closed = False
        self.blocked = False
        """No packet gets through, as if a cable were cut."""

    async def export(self, payload: bytes, *, timeout_s: float) -> Rejected | None:
        """Deliver one request; what is said of spans not taken."""
        assert not self._closed, "a closed client was used"
        assert timeout_s > 0, "a call without a time limit can hang for ever"
        copies = copies_of(payload)
        loop = asyncio.get_running_loop()
        words = f"{self._route.router} -> {self._route.address} {len(copies)} spans"
        self._history.note(f"{words} {crc32(payload):08x}")
        sent = self._ledger.sent(copies, self._route, at_s=loop.time())

        async def serve(fate: Fate) -> int:
            if self.blocked:
                raise Refused("unreachable", "no route to host")
            return await self._machine.serve(payload, fate=fate)

        untaken = await self._network.call(
            serve,
            faults=self._faults,
            timeout_s=timeout_s,
            doubt=lambda noticed: self._ledger.doubted(
                copies, self._route.router if noticed else ""
            ),
            calls=self._calls,
        )
        if untaken:
            return Rejected("partial_success", "not taken", items=untaken)
        self._ledger.arrived(sent, at_s=loop.time())
        return None

    async def close(self) -> None:
        """Give up the connection; calls in flight are answered at once."""
        self._closed = True
        for call in list(self._calls):
            end(call, Refused("closed", "the connection was closed"))
