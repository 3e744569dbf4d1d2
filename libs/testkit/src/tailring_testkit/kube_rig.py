"""A k8s resolver that follows a tenant of a real API server, and slices for it."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

from tailring_resolvers import SPECS, K8sPlace, K8sResolver, K8sResolverConfig
from tailring_runtime.metrics import Metrics
from tailring_testkit.kube import Tenant, endpoint
from tailring_testkit.process import eventually
from tailring_testkit.resolver_contract import Heard, ring_names

__all__ = ["Following", "addresses", "named", "put_all"]


class Following:
    """A resolver of the Service ``sampler``, port 4317, and what it told.

    An async context manager; ``block`` are other keys of the resolver block.
    """

    def __init__(self, place: K8sPlace, **block: Any) -> None:
        self.metrics = Metrics()
        self.metrics.declare(*SPECS)
        self.heard = Heard()
        whole = {"service": "sampler", "ports": (4317,), **block}
        self.resolver = K8sResolver(
            K8sResolverConfig(**whole), metrics=self.metrics, place=place
        )

    async def __aenter__(self) -> Self:
        await self.resolver.start(self.heard)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.resolver.stop()
        # A TLS connection ends a little after it was closed, and needs the loop for it.
        await asyncio.sleep(0.05)

    def names(self) -> tuple[str, ...]:
        """The ring names of the list as it is kept."""
        return ring_names(self.resolver.endpoints())

    async def has(self, names: set[str], *, timeout_s: float = 20.0) -> None:
        """Wait until the list is this one."""
        await eventually(
            lambda: set(self.names()) == names,
            f"{len(names)} endpoints, such as {sorted(names)[:3]}",
            timeout_s=timeout_s,
        )

    def failures(self) -> float:
        """Resolutions that failed."""
        return self.metrics.value(
            "otelcol_loadbalancer_num_resolutions", resolver="k8s", success="false"
        )


def addresses(count: int, *, block: int = 20) -> list[str]:
    """So many addresses of pods; those of two blocks are different."""
    return [f"10.{block}.{n // 200}.{n % 200 + 1}" for n in range(count)]


def named(found: list[str]) -> set[str]:
    """Their ring names."""
    return {f"{one}:4317" for one in found}


def put_all(tenant: Tenant, found: list[str], *, per_slice: int = 100) -> str:
    """Write addresses to as many slices as it takes; the version after the last."""
    version = ""
    for at in range(0, len(found), per_slice):
        part = [endpoint(one) for one in found[at : at + per_slice]]
        version = tenant.put_slice(f"s{at // per_slice}", part)
    return version
