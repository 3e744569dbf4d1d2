"""The ``resolve`` command: what each load balancer's resolver answers now."""

from __future__ import annotations

import asyncio
import sys

from tailring_resolvers import Endpoint, ResolutionError, build_resolver
from tailring_router.config import LoadBalancingConfig
from tailring_runtime.config import Loaded
from tailring_runtime.errors import RuntimeFailure
from tailring_runtime.metrics import Metrics
from tailring_runtime.settings import Settings

__all__ = ["resolve"]


def resolve(loaded: Loaded, _settings: Settings) -> int:
    """Print one line an endpoint: component, ring name, dial address."""
    balancers = {
        str(component): model
        for component, model in loaded.config.exporters.items()
        if isinstance(model, LoadBalancingConfig)
    }
    for name, model in balancers.items():
        for endpoint in _ask(name, model):
            sys.stdout.write(f"{name}\t{endpoint.ring_name}\t{endpoint.address}\n")
    if not balancers:
        raise RuntimeFailure("the file has no load-balancing exporter to resolve for")
    return 0


def _ask(name: str, model: LoadBalancingConfig) -> tuple[Endpoint, ...]:
    async def ask() -> tuple[Endpoint, ...]:
        resolver = build_resolver(model.resolver, metrics=Metrics())
        try:
            return await resolver.resolve()
        finally:
            await resolver.stop()

    try:
        return asyncio.run(ask())
    except ResolutionError as error:
        raise RuntimeFailure(f"exporters.{name}.resolver: {error}") from error
