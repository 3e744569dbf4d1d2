"""moto's server: AWS Cloud Map over HTTP, in memory.

What it holds is gone when it stops. It has no throttling, no host prefixes and asks
for no permissions; `tailring_testkit.cloud_map` shows what it cannot.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tailring_testkit import ports
from tailring_testkit.process import Child, http_ok, running
from tailring_testkit.servers import LOOPBACK, Place, binary

__all__ = ["CloudMapService", "Moto", "moto"]

REGION = "eu-west-1"


class CloudMapService:
    """A service of a namespace, whose instances a test owns."""

    def __init__(self, client: Any, service_id: str) -> None:
        self._client = client
        self._id = service_id

    def register(self, name: str, **attributes: str) -> None:
        """Register an instance, healthy, with these attributes."""
        self._client.register_instance(
            ServiceId=self._id, InstanceId=name, Attributes=attributes
        )
        self.set_health(name, "HEALTHY")

    def register_at(self, address: str) -> None:
        """Register the instance of an ``address:port``, which is its name too."""
        host, _, port = address.rpartition(":")
        family = "AWS_INSTANCE_IPV6" if ":" in host else "AWS_INSTANCE_IPV4"
        self.register(
            instance_id(address),
            **{family: host.strip("[]"), "AWS_INSTANCE_PORT": port},
        )

    def deregister(self, name: str) -> None:
        """Take an instance out."""
        self._client.deregister_instance(ServiceId=self._id, InstanceId=name)

    def replace(self, *addresses: str) -> None:
        """Have the instances of these addresses and no others."""
        listed = self._client.get_paginator("list_instances")
        for page in listed.paginate(ServiceId=self._id):
            for one in page["Instances"]:
                self.deregister(one["Id"])
        for address in addresses:
            self.register_at(address)

    def set_health(self, name: str, status: str) -> None:
        """Let an instance be HEALTHY or UNHEALTHY."""
        self._client.update_instance_custom_health_status(
            ServiceId=self._id, InstanceId=name, Status=status
        )


class Moto:
    """A running moto; `service` makes what a resolver asks for."""

    def __init__(self, child: Child, url: str) -> None:
        self.child = child
        self.url = url
        self._client = boto3.session.Session(
            aws_access_key_id="testing", aws_secret_access_key="testing"
        ).client(
            "servicediscovery",
            region_name=REGION,
            endpoint_url=url,
            config=Config(proxies={}),
        )

    def service(self, namespace: str, name: str) -> CloudMapService:
        """A new service in a namespace, which is made if there is none."""
        known = self._client.list_namespaces()["Namespaces"]
        if namespace not in {one["Name"] for one in known}:
            self._client.create_http_namespace(Name=namespace)
            known = self._client.list_namespaces()["Namespaces"]
        (namespace_id,) = (one["Id"] for one in known if one["Name"] == namespace)
        made = self._client.create_service(
            Name=name,
            NamespaceId=namespace_id,
            HealthCheckCustomConfig={"FailureThreshold": 1},
        )
        return CloudMapService(self._client, made["Service"]["Id"])


def instance_id(address: str) -> str:
    """The name of an instance that was registered by its address."""
    return address.translate(str.maketrans("[]:.", "----"))


@contextmanager
def moto(folder: Path, *, port: int = 0, place: Place = LOOPBACK) -> Iterator[Moto]:
    """Run moto's server without anything in it."""
    port = port or ports.free_port()
    url = f"http://{place.host}:{port}"
    with running(
        place.command(binary("moto_server"), "-H", place.host, "-p", str(port)),
        log=folder / "moto.log",
        ready=http_ok(f"{url}/moto-api/"),
    ) as child:
        yield Moto(child, url)
