"""What an operator writes as an endpoint, as grpcio wants to dial it."""

from __future__ import annotations

from typing import Final

from tailring_runtime.address import join_host_port, split_host_port

__all__ = ["HTTPS", "grpc_target"]

_PLAIN: Final = "http://"
HTTPS: Final = "https://"
# Schemes of gRPC's own name resolution; what follows is grpcio's to understand.
_RESOLVED: Final = ("dns:", "unix:", "ipv4:", "ipv6:")
_PASSTHROUGH: Final = "passthrough:///"


def grpc_target(endpoint: str) -> str:
    """The target of a channel. Raises ValueError with a sentence for the operator.

    ``host:port``, ``[::1]:4317``, ``http://host:port`` and ``dns:///host:port`` are
    endpoints; a port is always needed. Whether TLS is spoken there is not said here.
    """
    if not endpoint:
        raise ValueError('requires a non-empty "endpoint"')
    if endpoint.startswith(_RESOLVED):
        if endpoint.startswith("dns:"):
            _split(endpoint.rpartition("/")[2].removeprefix("dns:"))
        return endpoint
    plain = endpoint.removeprefix(_PLAIN).removeprefix(HTTPS)
    plain = plain.removeprefix(_PASSTHROUGH).rstrip("/")
    return join_host_port(*_split(plain))


def _split(address: str) -> tuple[str, int]:
    host, port = split_host_port(address)
    if "@" in host:
        shown = address.rpartition("@")[2]
        raise ValueError(f"address {shown}: a user name before the @ is not sent")
    if not host:
        raise ValueError(f"address {address}: missing host")
    if not port:
        raise ValueError(f"address {address}: invalid port 0")
    return host, port
