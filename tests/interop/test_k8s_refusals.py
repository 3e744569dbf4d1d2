"""The k8s resolver and a real API server that refuses, expires and goes away."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trustme
import yaml
from structlog.testing import capture_logs

from tailring_resolvers import (
    K8sPlace,
    ResolutionError,
)
from tailring_testkit import ports, services, web
from tailring_testkit.kube import Kube, Tenant, kube
from tailring_testkit.kube_rig import Following, put_all
from tailring_testkit.process import eventually, port_open, running, wait_until

SECOND_NS = 1_000_000_000


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    """The API server of this module."""
    with kube(tmp_path_factory.mktemp("kube")) as made:
        yield made


@pytest.fixture
def tenant(api: Kube) -> Tenant:
    """A namespace whose ServiceAccount may read EndpointSlices."""
    return api.tenant()


async def test_a_role_that_is_missing_and_then_granted(
    api: Kube, tmp_path: Path
) -> None:
    """Without its Role a start returns, the log says who may not do what, and the list
    comes without a restart once the Role is there."""
    tenant = await asyncio.to_thread(partial(api.tenant, granted=False))
    await asyncio.to_thread(put_all, tenant, ["10.0.0.1"])
    place = await asyncio.to_thread(tenant.pod, tmp_path / "account")
    with capture_logs() as logs:
        async with Following(place) as following:
            assert following.names() == ()
            with pytest.raises(ResolutionError, match="403 missing permission"):
                await following.resolver.resolve()
            await asyncio.to_thread(tenant.grant)
            await following.has({"10.0.0.1:4317"})
    found = next(one for one in logs if one["event"] == "failed to resolve")
    facts = ("verb", "resource", "api_group", "namespace", "service_account")
    assert [found[key] for key in facts] == [
        "list",
        "endpointslices",
        "discovery.k8s.io",
        tenant.namespace,
        f"{tenant.namespace}/router",
    ]


async def test_a_role_without_watch(api: Kube, tmp_path: Path) -> None:
    """A Role that may only list serves as polling, and the log asks for watch."""
    tenant = await asyncio.to_thread(partial(api.tenant, granted=False))
    await asyncio.to_thread(tenant.grant, "list")
    await asyncio.to_thread(put_all, tenant, ["10.0.0.1"])
    place = await asyncio.to_thread(tenant.pod, tmp_path / "account")
    with capture_logs() as logs:
        async with Following(place) as following:
            await eventually(lambda: following.failures() > 0, "a refused watch")
            await following.has({"10.0.0.1:4317"})
            await asyncio.to_thread(put_all, tenant, ["10.0.0.2"])
            await following.has({"10.0.0.2:4317"})
    # Right after it was granted, a Role may not be known to the server yet.
    assert "watch" in {one.get("verb") for one in logs}


async def test_a_role_that_is_taken_away(tenant: Tenant, tmp_path: Path) -> None:
    """The last list outlives the Role, and is followed again when it is back."""
    await asyncio.to_thread(put_all, tenant, ["10.0.0.1"])
    place = await asyncio.to_thread(tenant.pod, tmp_path / "account")
    async with Following(place, timeout=SECOND_NS) as following:
        await following.has({"10.0.0.1:4317"})
        await asyncio.to_thread(tenant.revoke)
        before = following.failures()
        await eventually(lambda: following.failures() > before, "a refusal")
        await asyncio.to_thread(put_all, tenant, ["10.0.0.2"])
        assert following.names() == ("10.0.0.1:4317",)
        await asyncio.to_thread(tenant.grant)
        await following.has({"10.0.0.2:4317"})


async def test_a_token_that_expires_and_is_rotated(
    tenant: Tenant, tmp_path: Path
) -> None:
    """With an expired token the list stays and the log says so; the rotated one is used
    as soon as it is in the file."""
    await asyncio.to_thread(put_all, tenant, ["10.0.0.1"])
    old = tenant.old_token(left_s=3)
    place = tenant.pod(tmp_path / "account", token=old)
    with capture_logs() as logs:
        async with Following(place, timeout=SECOND_NS) as following:
            await following.has({"10.0.0.1:4317"})
            await eventually(
                lambda: any("401" in str(one.get("error")) for one in logs),
                "the token has expired",
                timeout_s=40,
            )
            await asyncio.to_thread(put_all, tenant, ["10.0.0.2"])
            assert following.names() == ("10.0.0.1:4317",)
            (tmp_path / "account" / "token").write_text(tenant.token())
            await following.has({"10.0.0.2:4317"})


async def test_a_token_that_is_rotated_in_time(tenant: Tenant, tmp_path: Path) -> None:
    """A token that is replaced before it expires costs nothing at all."""
    await asyncio.to_thread(put_all, tenant, ["10.0.0.1"])
    place = tenant.pod(tmp_path / "account", token=tenant.old_token(left_s=4))
    async with Following(place, timeout=SECOND_NS) as following:
        await following.has({"10.0.0.1:4317"})
        before = following.failures()
        (tmp_path / "account" / "token").write_text(tenant.token())
        await asyncio.sleep(15)  # the server remembers a good token for ten seconds
        await asyncio.to_thread(put_all, tenant, ["10.0.0.2"])
        await following.has({"10.0.0.2:4317"})
        assert following.failures() == before


@pytest.mark.parametrize("user", ["certificate", "token", "insecure"])
async def test_a_kubeconfig(tenant: Tenant, tmp_path: Path, user: str) -> None:
    """A client certificate, a token, and a server that is not verified all work."""
    await asyncio.to_thread(put_all, tenant, ["10.0.0.1"])
    pem = str(tenant.kube.folder / "admin.pem")
    token = {"token": tenant.token()}
    certificate = {"client-certificate": pem, "client-key": pem}
    unverified = {"insecure-skip-tls-verify": True, "certificate-authority": ""}
    path = tenant.kube.kubeconfig(
        user,
        certificate if user == "certificate" else token,
        **(unverified if user == "insecure" else {}),
    )
    place = K8sPlace({"KUBECONFIG": str(path)}, home=tmp_path)
    async with Following(place, service=f"sampler.{tenant.namespace}") as following:
        await following.has({"10.0.0.1:4317"})


async def test_a_server_that_nobody_vouches_for(tenant: Tenant, tmp_path: Path) -> None:
    """Another authority than that of the server is a failure that names the reason."""
    place = await asyncio.to_thread(tenant.pod, tmp_path / "account")
    trustme.CA().cert_pem.write_to_path(tmp_path / "account" / "ca.crt")
    with pytest.raises(ResolutionError, match="CERTIFICATE_VERIFY_FAILED"):
        await Following(place).resolver.resolve()


async def test_a_server_that_is_killed_and_comes_back(
    tenant: Tenant, tmp_path: Path
) -> None:
    """While the server is away the list stays; what it has forgotten (410) is listed
    anew when it is back."""
    await asyncio.to_thread(put_all, tenant, ["10.0.0.1"])
    # An administrator needs no Role: those a server knows only some time after a start.
    pem = str(tenant.kube.folder / "admin.pem")
    user = {"client-certificate": pem, "client-key": pem}
    path = tenant.kube.kubeconfig("admin", user)
    place = K8sPlace({"KUBECONFIG": str(path)}, home=tmp_path)
    service = f"sampler.{tenant.namespace}"
    with capture_logs() as logs:
        async with Following(place, service=service) as following:
            await following.has({"10.0.0.1:4317"})
            # A server that starts knows nothing from before the newest version.
            await asyncio.to_thread(tenant.kube.tenant)
            await asyncio.to_thread(tenant.kube.kill)
            await eventually(lambda: following.failures() > 0, "the failure")
            assert following.names() == ("10.0.0.1:4317",)
            await asyncio.to_thread(tenant.kube.start)
            await asyncio.to_thread(put_all, tenant, ["10.0.0.2"])
            await following.has({"10.0.0.2:4317"}, timeout_s=60)
    forgotten = "the API server has forgotten the version; listing anew"
    assert forgotten in [one["event"] for one in logs]


async def test_a_server_that_is_frozen(tenant: Tenant, tmp_path: Path) -> None:
    """A server that holds its connections and says nothing is noticed when the watch
    is over its time, and the list stays until it goes on."""
    await asyncio.to_thread(put_all, tenant, ["10.0.0.1"])
    place = await asyncio.to_thread(tenant.pod, tmp_path / "account")
    with capture_logs() as logs:
        async with Following(place, timeout=SECOND_NS) as following:
            await following.has({"10.0.0.1:4317"})
            before = following.failures()
            tenant.kube.pause(on=True)
            try:
                await eventually(lambda: following.failures() > before, "the failure")
                assert following.names() == ("10.0.0.1:4317",)
            finally:
                tenant.kube.pause(on=False)
            await asyncio.to_thread(put_all, tenant, ["10.0.0.2"])
            await following.has({"10.0.0.2:4317"}, timeout_s=60)
    assert any("fell silent" in str(one.get("error")) for one in logs)


def _router_file(tenant: Tenant, folder: Path, health_port: int) -> Path:
    grpc_port, metrics_port = ports.free_ports(2)
    grpc = {"endpoint": f"127.0.0.1:{grpc_port}"}
    block = {"service": f"sampler.{tenant.namespace}", "ports": [4317]}
    balancing = {
        "protocol": {"otlp": {"tls": {"insecure": True}}},
        "resolver": {"k8s": block},
    }
    document = {
        "receivers": {"otlp": {"protocols": {"grpc": grpc}}},
        "exporters": {"loadbalancing": balancing},
        "extensions": {"health_check": {"endpoint": f"127.0.0.1:{health_port}"}},
        "service": {
            "extensions": ["health_check"],
            "telemetry": {"metrics": {"address": f"127.0.0.1:{metrics_port}"}},
            "pipelines": {
                "traces": {"receivers": ["otlp"], "exporters": ["loadbalancing"]}
            },
        },
    }
    path = folder / "router.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_a_router_without_its_role_runs_and_gets_ready(
    api: Kube, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service starts not ready, its log and its `resolve` command name the missing
    permission, and once that is granted it is ready by itself."""
    tenant = api.tenant(granted=False)
    put_all(tenant, ["10.0.0.1"])
    kubeconfig = tenant.kube.kubeconfig("router", {"token": tenant.token()})
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    health_port = ports.free_port()
    file = _router_file(tenant, tmp_path, health_port)
    router = services.command("tailring-router")

    def resolved() -> subprocess.CompletedProcess[str]:
        """The ``resolve`` command, run to its end."""
        command = [str(router), "resolve", "--config", str(file)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    asked = resolved()
    assert asked.returncode == 1
    may_not = f"ServiceAccount {tenant.namespace}/router may not list endpointslices"
    assert may_not in asked.stderr
    with running(
        [router, "--config", file],
        log=tmp_path / "router.log",
        ready=port_open(health_port),
    ) as child:
        child.wait_log("service started")
        url = f"http://127.0.0.1:{health_port}/readyz"
        assert web.get(url)[0] == 503
        child.wait_log(may_not)
        tenant.grant()
        wait_until(lambda: web.get(url)[0] == 200, "the router is ready")
    found = resolved()
    assert (found.returncode, found.stdout) == (
        0,
        "loadbalancing\t10.0.0.1:4317\t10.0.0.1:4317\n",
    )
