"""The ``resolver.k8s`` block: whose EndpointSlices are the backends.

Keys, defaults and error texts are upstream's; ``hold_empty`` and ``hold_down`` are
ours. Durations are nanoseconds.
"""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

from pydantic import AfterValidator, Field

from tailring_resolvers.hold_config import HOLD_DOWN_TEXT, HoldDuration
from tailring_runtime.config import Bool, ConfigModel, Port, Text

__all__ = [
    "HOLD_EMPTY_DEFAULT_NS",
    "WATCH_TIMEOUT_DEFAULT_NS",
    "K8sResolverConfig",
    "Service",
    "parse_service",
]

WATCH_TIMEOUT_DEFAULT_NS: Final = 60_000_000_000
HOLD_EMPTY_DEFAULT_NS: Final = 30_000_000_000

_INVALID: Final = "invalid Kubernetes service FQDN"


class Service(NamedTuple):
    """A Service by name; an empty namespace means that of the pod."""

    name: str
    namespace: str

    def __str__(self) -> str:
        return f"{self.name}.{self.namespace}"


def parse_service(text: str) -> Service:
    """The Service that ``name``, ``name.namespace`` or the full DNS name stands for.

    Raises ValueError with upstream's words.
    """
    name, *rest = text.split(".")
    if not name:
        raise ValueError("no service specified to resolve the backends")
    namespace = rest[0] if rest else ""
    if len(rest) > 1:
        if not namespace:
            raise ValueError(f'{_INVALID}: namespace segment missing in "{text}"')
        if rest[1] != "svc":
            expected = "expected third DNS label to be 'svc'"
            raise ValueError(f'{_INVALID}: {expected} in "{text}"')
        if len(rest) == 2:
            raise ValueError(f'{_INVALID}: missing cluster domain in "{text}"')
    return Service(name, namespace)


def _a_service(text: str) -> str:
    parse_service(text)
    return text


def _some_port(port: int) -> int:
    if port == 0:
        raise ValueError("0 is not a port")
    return port


class K8sResolverConfig(ConfigModel):
    """Backends are the endpoints of a Service, followed through a watch."""

    service: Annotated[Text, AfterValidator(_a_service)] = Field(
        default="",
        validate_default=True,
        description="The Service: `name`, `name.namespace` or the full name"
        " `name.namespace.svc.cluster.local`. Without a namespace: the one of the pod.",
    )
    ports: tuple[Annotated[Port, AfterValidator(_some_port)], ...] = Field(
        default=(),
        description="One backend for every address and port, on the ring too. Empty:"
        " the ring holds bare addresses and 4317 is dialled.",
    )
    timeout: HoldDuration = Field(
        default=0,
        description="How long one watch lasts before it is opened anew, in whole"
        " seconds; it bounds a list as well. 0: 1m. Short: load on the API server."
        " Below 1s the API server decides, as upstream.",
    )
    return_hostnames: Bool = Field(
        default=False,
        description="Backends are `<pod hostname>.<service>.<namespace>`, which stay"
        " the same when a pod restarts. Needs a headless Service of a StatefulSet.",
    )
    hold_empty: HoldDuration = Field(
        default=HOLD_EMPTY_DEFAULT_NS,
        description="Ours: how long the last backends are kept when the Service has no"
        " ready endpoint any more. 0: the ring is emptied at once, as upstream.",
    )
    hold_down: HoldDuration = Field(default=0, description=HOLD_DOWN_TEXT)

    @property
    def watch_s(self) -> int:
        """Whole seconds that one watch may last; 0: the API server decides."""
        return (self.timeout or WATCH_TIMEOUT_DEFAULT_NS) // 1_000_000_000
