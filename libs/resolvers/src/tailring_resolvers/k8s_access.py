"""How the Kubernetes API is reached, and as whom.

The order is that of upstream's client: the files of ``KUBECONFIG``, then what every
pod finds in its service account's folder, then ``~/.kube/config``. All of it is read
anew for each request, so that a token or a certificate that was rotated is used from
the next request on, and files that appear late are found. Reading blocks for the time
of a few small local files.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tailring_resolvers.errors import ResolutionError

__all__ = ["API", "Access", "K8sPlace", "in_cluster", "own_namespace", "tls_context"]

API: Final = "the Kubernetes API"
SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class K8sPlace:
    """Where credentials are looked for."""

    environ: Mapping[str, str]
    home: Path
    service_account: Path = SERVICE_ACCOUNT


@dataclass(frozen=True, slots=True)
class Access:
    """A server, whom it is believed to be, and who asks. Certificates are PEM texts.

    ``found_in`` is where it was read, for messages. Without ``ca`` the system's
    authorities count; ``server_name`` replaces the host in the server's certificate.
    """

    server: str
    found_in: str
    token: str = field(default="", repr=False)
    ca: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    verify: bool = True
    server_name: str = ""

    @property
    def connection(self) -> tuple[object, ...]:
        """What a connection that is open depends on; the token is not part of it."""
        identity = (self.ca, self.certificate, self.key)
        return (self.server, *identity, self.verify, self.server_name)


def in_cluster(place: K8sPlace) -> Access | None:
    """What a pod has; None outside of one, which is where the variables are not set.

    Raises `ResolutionError` when the variables are there and the token is not.
    """
    host = place.environ.get("KUBERNETES_SERVICE_HOST", "")
    port = place.environ.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        return None
    folder = place.service_account
    try:
        token = (folder / "token").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ResolutionError(
            API,
            f"the pod has no token ({error}); set automountServiceAccountToken: true"
            " for its ServiceAccount or in the pod",
        ) from error
    bracketed = f"[{host}]" if ":" in host else host
    return Access(
        server=f"https://{bracketed}:{port}",
        found_in=str(folder),
        token=token,
        ca=_text(folder / "ca.crt"),
    )


def own_namespace(place: K8sPlace) -> str:
    """The namespace of the pod; empty outside of one."""
    return _text(place.service_account / "namespace").strip()


def tls_context(access: Access) -> ssl.SSLContext:
    """TLS as ``access`` says. Raises `ResolutionError` when a certificate is broken."""
    try:
        context = ssl.create_default_context(cadata=access.ca or None)
        if not access.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if access.certificate:
            _load_identity(context, access)
    except (ssl.SSLError, ValueError) as error:
        raise ResolutionError(
            API, f"a certificate or key in {access.found_in} cannot be used: {error}"
        ) from error
    return context


def _load_identity(context: ssl.SSLContext, access: Access) -> None:
    # OpenSSL's Python door takes a client certificate only from a file.
    with tempfile.NamedTemporaryFile("w", encoding="ascii", suffix=".pem") as file:
        file.write(f"{access.certificate}\n{access.key}\n")
        file.flush()
        context.load_cert_chain(file.name)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
