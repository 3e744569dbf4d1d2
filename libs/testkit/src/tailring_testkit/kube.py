"""A real Kubernetes API server with RBAC on, and what a test needs of a cluster.

etcd, kube-apiserver and, where asked for, the controller manager: there is no kubelet,
so Pods are records whose status the test writes, and EndpointSlices may be written by
hand. Each test takes a `Tenant`: a namespace of its own with a ServiceAccount, which
sees nothing until it is granted its Role. EndpointSlices take no loopback addresses;
names of backends that shall be reached have to lie on another one.
"""

from __future__ import annotations

import base64
import itertools
import json
import signal
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trustme
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tailring_resolvers import K8sPlace
from tailring_testkit import ports
from tailring_testkit.process import Child, Ready, running
from tailring_testkit.servers import LOOPBACK, Place, binary

__all__ = ["Json", "Kube", "Tenant", "endpoint", "kube"]

Json = dict[str, Any]

SLICES: Final = "apis/discovery.k8s.io/v1/namespaces/{}/endpointslices"
_ISSUER: Final = "https://kubernetes.default.svc"
_RBAC: Final = "rbac.authorization.k8s.io"
_LABEL: Final = "kubernetes.io/service-name"
_READY_S: Final = 60.0


class Kube:
    """A running API server. Calls are those of an administrator and block."""

    def __init__(self, folder: Path, etcd_port: int, place: Place) -> None:
        self.host = place.host
        self.port = ports.free_port()
        self.folder = folder
        self._place = place
        self._etcd = f"http://{place.host}:{etcd_port}"
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._numbers = itertools.count(1)
        self._server: Child | None = None
        self.ca = trustme.CA()
        self._write_keys()
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        context.load_cert_chain(folder / "admin.pem")
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=context),
        )

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://{self.host}:{self.port}"

    def start(self) -> None:
        """Run the server and wait until it is ready."""
        self._server = Child(self._command(), log=self.folder / "apiserver.log")
        try:
            self._server.wait_ready(self._ready(), timeout_s=_READY_S)
        except BaseException:
            self._server.kill()
            raise

    def kill(self) -> None:
        """SIGKILL, as when its machine is lost; what etcd has stays."""
        if self._server is not None:
            self._server.kill()

    def pause(self, *, on: bool) -> None:
        """SIGSTOP or SIGCONT: connections stay open and nobody answers."""
        assert self._server is not None
        self._server.send(signal.SIGSTOP if on else signal.SIGCONT)

    def call(self, method: str, path: str, body: object = None) -> Json:
        """The JSON that the API answers; fails on any status above 299."""
        status, answer = self.ask(method, path, body)
        assert status < 300, f"{method} {path}: {status} {answer}"
        return answer

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Json]:
        """Status and JSON of an answer, whatever it says."""
        kind = "merge-patch+json" if method == "PATCH" else "json"
        request = urllib.request.Request(
            f"{self.url}/{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Content-Type": f"application/{kind}"},
        )
        try:
            with self._opener.open(request, timeout=30) as answer:
                return answer.status, _decoded(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _decoded(error.read())

    def tenant(self, namespace: str = "", *, granted: bool = True) -> Tenant:
        """A new namespace with the ServiceAccount ``router``."""
        namespace = namespace or f"tenant-{next(self._numbers)}"
        self.call("POST", "api/v1/namespaces", {"metadata": {"name": namespace}})
        accounts = f"api/v1/namespaces/{namespace}/serviceaccounts"
        account = self.call("POST", accounts, {"metadata": {"name": "router"}})
        made = Tenant(self, namespace, str(account["metadata"]["uid"]))
        if granted:
            made.grant()
        return made

    def signed(self, claims: Mapping[str, object]) -> str:
        """A token signed with the key of the server."""
        parts = [_part({"alg": "RS256"}), _part(claims)]
        text = b".".join(parts)
        mark = self._key.sign(text, padding.PKCS1v15(), hashes.SHA256())
        return b".".join([*parts, _base64(mark)]).decode()

    def kubeconfig(
        self, name: str, user: Mapping[str, object], **cluster: object
    ) -> Path:
        """A file with which ``user`` reaches this server; ``cluster`` adds keys."""
        path = self.folder / f"{name}.kubeconfig"
        block = {"server": self.url, "certificate-authority": "ca.crt", **cluster}
        document = {
            "clusters": [{"name": "test", "cluster": block}],
            "users": [{"name": name, "user": dict(user)}],
            "contexts": [{"name": name, "context": {"cluster": "test", "user": name}}],
            "current-context": name,
        }
        path.write_text(json.dumps(document))
        return path

    def _write_keys(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca.cert_pem.write_to_path(self.folder / "ca.crt")
        self.ca.issue_cert(
            self.host, "localhost"
        ).private_key_and_cert_chain_pem.write_to_path(self.folder / "server.pem")
        self.ca.issue_cert(
            "admin", common_name="admin", organization_name="system:masters"
        ).private_key_and_cert_chain_pem.write_to_path(self.folder / "admin.pem")
        encoding = serialization.Encoding.PEM
        (self.folder / "sa.key").write_bytes(
            self._key.private_bytes(
                encoding,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        (self.folder / "sa.pub").write_bytes(
            self._key.public_key().public_bytes(
                encoding, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )

    def _command(self) -> list[str]:
        keys = self.folder
        return self._place.command(
            binary("kube-apiserver"),
            f"--etcd-servers={self._etcd}",
            f"--bind-address={self.host}",
            f"--secure-port={self.port}",
            f"--advertise-address={self.host}",
            "--endpoint-reconciler-type=none",  # it refuses loopback otherwise
            f"--tls-cert-file={keys / 'server.pem'}",
            f"--tls-private-key-file={keys / 'server.pem'}",
            f"--client-ca-file={keys / 'ca.crt'}",
            f"--service-account-issuer={_ISSUER}",
            f"--service-account-key-file={keys / 'sa.pub'}",
            f"--service-account-signing-key-file={keys / 'sa.key'}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--anonymous-auth=true",
        )

    def _ready(self) -> Ready:
        def check(_child: Child) -> bool:
            try:
                return self.ask("GET", "readyz")[0] == 200
            except OSError:
                return False

        return check


@dataclass(frozen=True, slots=True)
class Tenant:
    """A namespace and its ServiceAccount ``router``."""

    kube: Kube
    namespace: str
    account_uid: str

    def grant(self, *verbs: str) -> None:
        """Let the account read EndpointSlices here (get, list, watch, or ``verbs``)."""
        rule = {
            "apiGroups": ["discovery.k8s.io"],
            "resources": ["endpointslices"],
            "verbs": list(verbs) or ["get", "list", "watch"],
        }
        self._rbac("POST", "roles", {"metadata": {"name": "slices"}, "rules": [rule]})
        reference = {"apiGroup": _RBAC, "kind": "Role", "name": "slices"}
        subject = {
            "kind": "ServiceAccount",
            "name": "router",
            "namespace": self.namespace,
        }
        body = {
            "metadata": {"name": "slices"},
            "roleRef": reference,
            "subjects": [subject],
        }
        self._rbac("POST", "rolebindings", body)

    def revoke(self) -> None:
        """Take the Role away again."""
        self._rbac("DELETE", "rolebindings/slices")
        self._rbac("DELETE", "roles/slices")

    def token(self) -> str:
        """A token of the account that is good for ten minutes."""
        path = f"api/v1/namespaces/{self.namespace}/serviceaccounts/router/token"
        body = {"spec": {"expirationSeconds": 600}}
        return str(self.kube.call("POST", path, body)["status"]["token"])

    def old_token(self, *, left_s: int) -> str:
        """A token that the server takes for another ``left_s`` seconds, and then for
        as long as it remembers it (10 s)."""
        # Wall time: it is what tokens are dated with. A minute of leeway is the rule.
        expires_s = int(time.time()) - 60 + left_s  # noqa: TID251 - see above
        account = {"name": "router", "uid": self.account_uid}
        return self.kube.signed(
            {
                "iss": _ISSUER,
                "aud": [_ISSUER],
                "sub": f"system:serviceaccount:{self.namespace}:router",
                "iat": expires_s - 600,
                "nbf": expires_s - 600,
                "exp": expires_s,
                "kubernetes.io": {
                    "namespace": self.namespace,
                    "serviceaccount": account,
                },
            }
        )

    def pod(self, folder: Path, *, port: int = 0, token: str = "") -> K8sPlace:
        """What a pod of the account finds, in ``folder``; ``port`` is a proxy's."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "token").write_text(token or self.token())
        (folder / "namespace").write_text(self.namespace)
        self.kube.ca.cert_pem.write_to_path(folder / "ca.crt")
        environ = {
            "KUBERNETES_SERVICE_HOST": self.kube.host,
            "KUBERNETES_SERVICE_PORT": str(port or self.kube.port),
        }
        return K8sPlace(environ, home=folder / "nobody", service_account=folder)

    def put_slice(
        self,
        name: str,
        endpoints: Iterable[Json],
        *,
        service: str = "sampler",
        kind: str = "IPv4",
    ) -> str:
        """Write an EndpointSlice; the version of the API's state with it."""
        found = list(endpoints)
        body: Json = {
            "metadata": {"name": name, "labels": {_LABEL: service}},
            "addressType": kind,
            "ports": [{"name": "otlp", "port": 4317, "protocol": "TCP"}],
            "endpoints": found,
        }
        path = SLICES.format(self.namespace)
        status, answer = self.kube.ask("PUT", f"{path}/{name}", body)
        if status == 404:
            answer = self.kube.call("POST", path, body)
        else:
            assert status < 300, answer
        return str(answer["metadata"]["resourceVersion"])

    def drop_slice(self, name: str) -> None:
        """Delete an EndpointSlice, if there is one."""
        self.kube.ask("DELETE", f"{SLICES.format(self.namespace)}/{name}")

    def slices(self, service: str = "sampler") -> list[Json]:
        """The EndpointSlices of a Service, as the API has them."""
        path = f"{SLICES.format(self.namespace)}?labelSelector={_LABEL}%3D{service}"
        return list(self.kube.call("GET", path)["items"])

    def _rbac(self, method: str, path: str, body: object = None) -> None:
        root = f"apis/{_RBAC}/v1/namespaces/{self.namespace}"
        self.kube.call(method, f"{root}/{path}", body)


def endpoint(address: str, *, hostname: str = "", ready: bool | None = True) -> Json:
    """An endpoint of a slice; ``ready`` None says nothing about it."""
    made: Json = {"addresses": [address]}
    if hostname:
        made["hostname"] = hostname
    if ready is not None:
        made["conditions"] = {"ready": ready}
    return made


@contextmanager
def kube(folder: Path, *, place: Place = LOOPBACK) -> Iterator[Kube]:
    """Run etcd and an API server."""
    client, peer = ports.free_ports(2)
    urls = [f"http://{place.host}:{port}" for port in (client, peer)]
    command = place.command(
        binary("etcd"),
        f"--data-dir={folder / 'etcd'}",
        "--unsafe-no-fsync",
        "--log-level=warn",
        f"--listen-client-urls={urls[0]}",
        f"--advertise-client-urls={urls[0]}",
        f"--listen-peer-urls={urls[1]}",
        f"--initial-advertise-peer-urls={urls[1]}",
        f"--initial-cluster=default={urls[1]}",
    )
    log = folder / "etcd.log"
    with running(command, log=log, ready=lambda _child: True):
        made = Kube(folder, client, place)
        made.start()
        try:
            yield made
        finally:
            made.kill()  # SIGTERM would wait for every open watch


def _decoded(body: bytes) -> Json:
    try:
        found = json.loads(body)
    except ValueError:
        return {"text": body.decode(errors="replace")}
    return found if isinstance(found, dict) else {"found": found}


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _part(document: Mapping[str, object]) -> bytes:
    return _base64(json.dumps(document).encode())
