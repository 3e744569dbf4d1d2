"""Who the samplers are."""

from tailring_resolvers.endpoint import Endpoint
from tailring_resolvers.resolver import OnChange, Resolver

__all__ = ["Endpoint", "OnChange", "Resolver"]
