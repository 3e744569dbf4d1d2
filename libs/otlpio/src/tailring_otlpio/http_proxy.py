"""Which proxy a URL is reached by."""

from __future__ import annotations

from urllib.request import getproxies_environment, proxy_bypass

from yarl import URL

__all__ = ["proxy_for"]


def proxy_for(url: URL, written: str) -> URL | None:
    """The proxy that is ``written``, else that of HTTP_PROXY, HTTPS_PROXY and NO_PROXY.

    As in Go's client: nothing in the environment concerns this host itself.
    """
    if written:
        return URL(written)
    host = url.host or ""
    local = host in ("localhost", "::1") or host.startswith("127.")
    if local or proxy_bypass(url.authority):
        return None
    found = getproxies_environment().get(url.scheme)
    if not found:
        return None
    return URL(found if "://" in found else f"http://{found}")
