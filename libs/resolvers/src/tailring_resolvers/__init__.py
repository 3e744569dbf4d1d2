"""Who the samplers are."""

from tailring_resolvers.build import build_resolver
from tailring_resolvers.cloud_map import CloudMapResolver
from tailring_resolvers.cloud_map_config import CloudMapResolverConfig
from tailring_resolvers.config import (
    DnsResolverConfig,
    ResolverConfig,
    StaticResolverConfig,
)
from tailring_resolvers.dns_resolver import DnsResolver
from tailring_resolvers.endpoint import Endpoint
from tailring_resolvers.errors import PartialAnswer, ResolutionError, Throttled
from tailring_resolvers.k8s_access import K8sPlace
from tailring_resolvers.k8s_config import K8sResolverConfig
from tailring_resolvers.k8s_resolver import K8sResolver
from tailring_resolvers.lookup import Lookup
from tailring_resolvers.metrics import SPECS
from tailring_resolvers.resolver import OnChange, Resolver
from tailring_resolvers.several import backend_names
from tailring_resolvers.static import StaticResolver

__all__ = [
    "SPECS",
    "CloudMapResolver",
    "CloudMapResolverConfig",
    "DnsResolver",
    "DnsResolverConfig",
    "Endpoint",
    "K8sPlace",
    "K8sResolver",
    "K8sResolverConfig",
    "Lookup",
    "OnChange",
    "PartialAnswer",
    "ResolutionError",
    "Resolver",
    "ResolverConfig",
    "StaticResolver",
    "StaticResolverConfig",
    "Throttled",
    "backend_names",
    "build_resolver",
]
