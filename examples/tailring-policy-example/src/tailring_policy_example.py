"""Policy `many_services`: keeps traces that enough services took part in.

A service is told by the attribute `service.name` of its resource; spans without one are
of no service. Only the headers of resources are read, each distinct one once a trace.
"""

from __future__ import annotations

from pydantic import Field

from tailring_otlpwire import resource_attribute
from tailring_runtime.config import ConfigModel, Int
from tailring_sampler.policies import Needs, PolicyType, Trace, Vote

__all__ = ["MANY_SERVICES", "ManyServices", "ManyServicesConfig"]


class ManyServicesConfig(ConfigModel):
    """Keeps traces that enough services took part in."""

    services_min: Int = Field(
        default=2, ge=1, description="The fewest services of a trace that is kept."
    )


class ManyServices:
    """Votes for a trace of so many services or more."""

    needs = Needs.RESOURCES

    def __init__(self, config: ManyServicesConfig) -> None:
        self._services_min = config.services_min

    def evaluate(self, trace: Trace, now_ns: int) -> Vote:  # noqa: ARG002 - the seam's
        """Count the names."""
        names: set[bytes] = set()
        for header in {piece.resource for piece in trace.pieces}:
            name = resource_attribute(header, b"service.name")
            if name is not None and name.text():
                names.add(name.text())
        enough = len(names) >= self._services_min
        return Vote.SAMPLED if enough else Vote.NOT_SAMPLED


MANY_SERVICES = PolicyType("many_services", ManyServicesConfig, ManyServices)
