"""A kubeconfig as `Access`.

Several files are one: of two entries with the same name the first counts, as does the
first ``current-context``; a file that is not there is passed over. Honoured are token,
token file, client certificate and key, the authority of the server, its name in TLS and
``insecure-skip-tls-verify``, each as data or as a file relative to the kubeconfig.
What this process cannot do (programs that fetch tokens, proxies, impersonation) is
refused by name, since leaving it out would mean to ask as somebody else.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tailring_resolvers.errors import ResolutionError
from tailring_resolvers.k8s_access import API, Access, K8sPlace, in_cluster

__all__ = ["find_access", "read_kubeconfig"]

_CURE: Final = "use a token, tokenFile or client certificate there"
_REFUSED: Final[Mapping[str, str]] = {
    "exec": f"programs that fetch credentials are not run; {_CURE}",
    "auth-provider": f"auth providers are not supported; {_CURE}",
    "username": f"the API server takes no passwords; {_CURE}",
    "as": "impersonation is not supported; use credentials of that user",
    "proxy-url": "proxies are not supported; give an address that can be reached",
}


def find_access(place: K8sPlace) -> Access:
    """The access of this process now. Raises `ResolutionError` when there is none."""
    listed = place.environ.get("KUBECONFIG", "")
    if listed:
        return read_kubeconfig([Path(one) for one in listed.split(":") if one])
    found = in_cluster(place)
    if found is not None:
        return found
    usual = place.home / ".kube" / "config"
    if not usual.exists():
        raise ResolutionError(
            API,
            "no credentials: this is no pod (KUBERNETES_SERVICE_HOST is not set),"
            f" KUBECONFIG is not set and {usual} does not exist",
        )
    return read_kubeconfig([usual])


@dataclass(frozen=True, slots=True)
class _Entry:
    """A named entry, and where the file lies that its paths are relative to."""

    file: Path
    block: Mapping[str, Any]

    def text(self, key: str) -> str:
        """The value of ``key-data`` or the content of the file ``key``; "" if none."""
        data = self.block.get(f"{key}-data")
        if data:
            try:
                return base64.b64decode(data, validate=True).decode()
            except (binascii.Error, ValueError, TypeError) as error:
                raise _broken(self.file, f"{key}-data is not base64 of text") from error
        path = self.block.get(key)
        return self.content(str(path)) if path else ""

    def content(self, path: str) -> str:
        """The text of another file."""
        try:
            return (self.file.parent / path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise _broken(self.file, f"{path} cannot be read: {error}") from error


def read_kubeconfig(paths: Iterable[Path]) -> Access:
    """The access of the current context. Raises `ResolutionError`."""
    files = list(paths)
    documents = [(file, _load(file)) for file in files if file.exists()]
    where = ":".join(str(file) for file in files)
    if not documents:
        raise ResolutionError(API, f"no such kubeconfig: {where}")
    currents = [str(one.get("current-context") or "") for _, one in documents]
    current = next((one for one in currents if one), "")
    context = _named(documents, "context", current)
    cluster = _named(documents, "cluster", str(context.block.get("cluster", "")))
    user = _named(documents, "user", str(context.block.get("user", "")))
    for entry in (cluster, user):
        _refuse(entry)
    return _access(cluster, user)


def _access(cluster: _Entry, user: _Entry) -> Access:
    server = str(cluster.block.get("server") or "").rstrip("/")
    if not server.startswith(("https://", "http://")):
        raise _broken(cluster.file, f"{server!r} is not the URL of a server")
    token_file = user.block.get("tokenFile")
    token = user.content(str(token_file)) if token_file else user.block.get("token")
    insecure = bool(cluster.block.get("insecure-skip-tls-verify"))
    ca = cluster.text("certificate-authority")
    if insecure and ca:
        raise _broken(
            cluster.file, "certificate-authority and insecure-skip-tls-verify together"
        )
    return Access(
        server=server,
        found_in=str(cluster.file),
        token=str(token or "").strip(),
        ca=ca,
        certificate=user.text("client-certificate"),
        key=user.text("client-key"),
        verify=not insecure,
        server_name=str(cluster.block.get("tls-server-name") or ""),
    )


def _load(file: Path) -> Mapping[str, Any]:
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _broken(file, f"cannot be read: {error}") from error
    if not isinstance(document, Mapping):
        raise _broken(file, "is not a kubeconfig")
    return document


def _named(
    documents: Iterable[tuple[Path, Mapping[str, Any]]], kind: str, name: str
) -> _Entry:
    first = None
    for file, document in documents:
        first = first or file
        for entry in document.get(f"{kind}s") or ():
            if isinstance(entry, Mapping) and entry.get("name") == name:
                block = entry.get(kind)
                return _Entry(file, block if isinstance(block, Mapping) else {})
    assert first is not None
    if kind == "user" and not name:
        return _Entry(first, {})
    missing = f"no {kind} {name!r}" if name else f"names no {kind}"
    raise _broken(first, missing)


def _refuse(entry: _Entry) -> None:
    for key, reason in _REFUSED.items():
        if entry.block.get(key):
            raise _broken(entry.file, f"{key}: {reason}")


def _broken(file: Path, what: str) -> ResolutionError:
    return ResolutionError(API, f"kubeconfig {file}: {what}")
