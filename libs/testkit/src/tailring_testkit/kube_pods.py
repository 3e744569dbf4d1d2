"""Pods, as far as EndpointSlices are made of them.

The controller manager of Kubernetes writes the slices; the test plays the kubelet and
writes what state a Pod is in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tailring_testkit import ports
from tailring_testkit.kube import Json, Kube, Tenant
from tailring_testkit.process import running, wait_until
from tailring_testkit.servers import LOOPBACK, binary

__all__ = ["Pods", "controllers"]

_CONTROLLERS = (
    "endpointslice-controller",
    "serviceaccount-controller",
    "namespace-controller",
    "garbage-collector-controller",
)


@contextmanager
def controllers(kube: Kube) -> Iterator[None]:
    """Run the controllers that make EndpointSlices out of Pods."""
    pem = str(kube.folder / "admin.pem")
    user = {"client-certificate": pem, "client-key": pem}
    config = kube.kubeconfig("controllers", user)
    command = LOOPBACK.command(
        binary("kube-controller-manager"),
        f"--kubeconfig={config}",
        "--bind-address=127.0.0.1",
        f"--secure-port={ports.free_port()}",
        f"--cert-dir={kube.folder / 'controllers'}",
        "--leader-elect=false",
        f"--service-account-private-key-file={kube.folder / 'sa.key'}",
        f"--root-ca-file={kube.folder / 'ca.crt'}",
        f"--controllers={','.join(_CONTROLLERS)}",
    )
    log = kube.folder / "controllers.log"
    with running(command, log=log, ready=lambda _child: True):
        yield


class Pods:
    """The Pods behind one headless Service of a tenant."""

    def __init__(self, tenant: Tenant, service: str = "sampler") -> None:
        """Make the Service, and a node for the Pods."""
        self._kube = tenant.kube
        self._service = service
        self._root = f"api/v1/namespaces/{tenant.namespace}"
        self._node = f"node-{tenant.namespace}"
        self._kube.call("POST", "api/v1/nodes", {"metadata": {"name": self._node}})
        spec = {
            "clusterIP": "None",
            "selector": {"app": service},
            "ports": [{"name": "otlp", "port": 4317}],
        }
        body = {"metadata": {"name": service}, "spec": spec}
        self._kube.call("POST", f"{self._root}/services", body)
        # Pods are refused until the controller has made this one.
        account = f"{self._root}/serviceaccounts/default"
        wait_until(
            lambda: self._kube.ask("GET", account)[0] == 200,
            "the namespace has its default ServiceAccount",
        )

    def run(self, name: str, address: str) -> None:
        """A Pod that is ready."""
        body: Json = {
            "metadata": {"name": name, "labels": {"app": self._service}},
            "spec": {
                "nodeName": self._node,
                "hostname": name,
                "subdomain": self._service,
                "containers": [{"name": "sampler", "image": "none"}],
            },
        }
        self._kube.call("POST", f"{self._root}/pods", body)
        status = {
            "podIP": address,
            "podIPs": [{"ip": address}],
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        self._write(name, status)

    def ready(self, name: str, *, is_ready: bool) -> None:
        """Say whether a Pod is ready."""
        state = "True" if is_ready else "False"
        self._write(name, {"conditions": [{"type": "Ready", "status": state}]})

    def terminate(self, name: str) -> None:
        """Ask a Pod to end; it is there until `gone`."""
        self._kube.call("DELETE", f"{self._root}/pods/{name}")

    def gone(self, name: str) -> None:
        """A Pod has ended."""
        body = {"gracePeriodSeconds": 0}
        self._kube.call("DELETE", f"{self._root}/pods/{name}", body)

    def _write(self, name: str, status: Json) -> None:
        self._kube.call("PATCH", f"{self._root}/pods/{name}/status", {"status": status})
