"""A k8s resolver that follows a `FakeKube`, with everything that a test turns."""

from __future__ import annotations

import asyncio
from typing import Any

from tailring_resolvers import SPECS, K8sPlace, K8sResolver, K8sResolverConfig
from tailring_runtime.metrics import Metrics
from tailring_testkit.fake_kube import FakeKube
from tailring_testkit.process import eventually
from tailring_testkit.resolver_contract import Heard

__all__ = ["Followed"]


class Followed:
    """A resolver of the fake server's Service, and what it does."""

    def __init__(self, server: FakeKube) -> None:
        self.server = server
        self.metrics = Metrics()
        self.metrics.declare(*SPECS)
        self.heard = Heard()
        self.slept_s: list[float] = []
        self.now_ns = 0
        self.resolver = self.make()

    def make(self, *, place: K8sPlace | None = None, **block: Any) -> K8sResolver:
        """The resolver anew, with another block."""
        self.resolver = K8sResolver(
            K8sResolverConfig(service="sampler.shop", **block),
            metrics=self.metrics,
            place=place or self.server.place(),
            sleep=self._sleep,
            clock_ns=lambda: self.now_ns,
        )
        return self.resolver

    async def start(self) -> None:
        """Start the resolver with the listener."""
        await self.resolver.start(self.heard)

    async def told(self, *names: str) -> None:
        """Wait until the last list that was told is this one."""
        await eventually(
            lambda: bool(self.heard.lists) and self.heard.names()[-1] == names,
            f"told {names}, not {self.heard.names()}",
        )

    async def watching(self, times: int = 1) -> None:
        """Wait until so many watches were opened."""
        await eventually(lambda: len(self.server.watches) >= times, f"{times} watches")

    def counted(self, name: str, **labels: str) -> float:
        """A metric of the resolver."""
        full = f"otelcol_loadbalancer_{name}"
        return self.metrics.value(full, resolver="k8s", **labels)

    async def _sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        await asyncio.sleep(0.005)
