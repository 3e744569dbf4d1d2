"""``host:port`` texts, read as upstream's net.SplitHostPort reads them."""

from __future__ import annotations

__all__ = ["join_host_port", "split_host_port"]

PORT_MAX = 65535


def split_host_port(address: str) -> tuple[str, int]:
    """Host (without brackets, "" for all interfaces) and port of ``address``.

    Raises ValueError with upstream's words: "missing port in address". What stands
    before an @ may be a password: the words leave it out.
    """
    shown = _after_at(address)
    host, colon, port = address.rpartition(":")
    if not colon or "]" in port:
        raise ValueError(f"address {shown}: missing port in address")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"address {shown}: too many colons in address")
    if not (port.isascii() and port.isdigit()) or int(port) > PORT_MAX:
        raise ValueError(f"address {shown}: invalid port {_after_at(port)!r}")
    return host, int(port)


def join_host_port(host: str, port: int) -> str:
    """The text of an address; an IPv6 host gets its brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _after_at(text: str) -> str:
    return text.rpartition("@")[2]
