"""From the ``resolver`` block to the resolver that it asks for."""

from __future__ import annotations

from tailring_resolvers.cloud_map import CloudMapResolver
from tailring_resolvers.config import ResolverConfig
from tailring_resolvers.dns_resolver import DnsResolver
from tailring_resolvers.k8s_resolver import K8sResolver
from tailring_resolvers.lookup import Lookup
from tailring_resolvers.resolver import Resolver
from tailring_resolvers.static import StaticResolver
from tailring_runtime.metrics import Metrics

__all__ = ["build_resolver"]


def build_resolver(
    config: ResolverConfig, *, metrics: Metrics, lookup: Lookup | None = None
) -> Resolver:
    """The resolver of a valid block; nothing is asked before it is started.

    ``lookup`` stands in for the system's DNS configuration.
    """
    if config.static is not None:
        return StaticResolver(config.static, metrics=metrics, lookup=lookup or Lookup())
    if config.aws_cloud_map is not None:
        return CloudMapResolver(config.aws_cloud_map, metrics=metrics)
    if config.k8s is not None:
        return K8sResolver(config.k8s, metrics=metrics)
    assert config.dns is not None
    return DnsResolver(config.dns, metrics=metrics, lookup=lookup)
