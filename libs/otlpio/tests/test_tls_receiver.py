"""TLS at the doors of a receiver."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest

from tailring_testkit import otlp
from tailring_testkit.otlp_clients import GrpcClient, HttpClient
from tailring_testkit.pki import Authority, ClientTls, Pair
from tailring_testkit.receiver_rig import Counts, ReceiverRig, receiver_rig

REQUEST = otlp.request(otlp.span(b"\x01" * 16, b"\x02" * 8))
OK = grpc.StatusCode.OK
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Who issues the certificates that are good."""
    return Authority(tmp_path)


@pytest.fixture
def server(authority: Authority) -> Pair:
    """The receiver's certificate."""
    return authority.issue("server")


def both(tls: dict[str, Any]) -> dict[str, Any]:
    """The keys of a rig whose two doors have this ``tls``."""
    return {"grpc": {"tls": tls}, "http": {"tls": tls}}


def grpc_client(rig: ReceiverRig, tls: ClientTls | None) -> GrpcClient:
    """Another client of the rig."""
    return GrpcClient(
        f"127.0.0.1:{rig.receiver.grpc_port}",
        credentials=tls.credentials() if tls else None,
    )


def http_client(rig: ReceiverRig, tls: ClientTls | None) -> HttpClient:
    """Another client of the rig."""
    scheme = "https" if tls else "http"
    return HttpClient(
        f"{scheme}://127.0.0.1:{rig.receiver.http_port}",
        tls=tls.context() if tls else None,
    )


async def served(rig: ReceiverRig) -> None:
    """The rig's own clients, who are good, are served."""
    assert (await rig.grpc.export(REQUEST)).code is OK
    assert (await rig.http.post(REQUEST)).status == 200


async def test_both_doors_speak_tls(authority: Authority, server: Pair) -> None:
    """With a certificate and its key, clients that trust the CA are served."""
    tls = ClientTls(authority.ca_file)
    async with receiver_rig(**both(server.keys()), tls=tls) as rig:
        await served(rig)
        assert rig.counts("grpc") == Counts(accepted_spans=1, success=1)
        assert rig.counts("http") == Counts(accepted_spans=1, success=1)


async def test_certificates_may_be_written_in_the_file(
    authority: Authority, server: Pair
) -> None:
    """cert_pem and key_pem do the same."""
    pem = {
        "cert_pem": server.cert_file.read_text(),
        "key_pem": server.key_file.read_text(),
    }
    async with receiver_rig(**both(pem), tls=ClientTls(authority.ca_file)) as rig:
        await served(rig)


@pytest.mark.parametrize("shown", ["nothing", "other", "expired", "plaintext"])
async def test_who_shows_no_good_certificate_is_turned_away(
    tmp_path: Path, authority: Authority, server: Pair, shown: str
) -> None:
    """With client_ca_file: no certificate, one of another CA, an expired one and
    plaintext get nowhere, while others are served."""
    good = authority.issue("client")
    clients = {
        "nothing": ClientTls(authority.ca_file),
        "other": ClientTls(
            authority.ca_file, Authority(tmp_path, "other").issue("stranger")
        ),
        "expired": ClientTls(authority.ca_file, authority.issue("old", expired=True)),
        "plaintext": None,
    }
    bad = clients[shown]
    tls = {**server.keys(), "client_ca_file": str(authority.ca_file)}
    async with receiver_rig(**both(tls), tls=ClientTls(authority.ca_file, good)) as rig:
        await served(rig)
        async with grpc_client(rig, bad) as client:
            assert (await client.export(REQUEST, timeout_s=5)).code is UNAVAILABLE
        async with http_client(rig, bad) as client:
            with pytest.raises((aiohttp.ClientError, OSError)):
                await client.post(REQUEST)
        await served(rig)
        assert rig.counts("grpc") == Counts(accepted_spans=2, success=2)
        assert rig.counts("http") == Counts(accepted_spans=2, success=2)
        begun = {
            transport: rig.metrics.value(
                "tailring_receiver_tls_handshakes", transport=transport
            )
            for transport in ("grpc", "http")
        }
        assert begun["grpc"] >= 2
        completed = rig.metrics.value("tailring_receiver_tls_handshakes_completed")
        failed = begun["http"] - completed
        assert failed == 0 if shown == "plaintext" else failed >= 1


async def test_a_client_trusts_only_its_ca(
    tmp_path: Path, authority: Authority, server: Pair
) -> None:
    """A client with another CA does not talk to the receiver."""
    stranger = ClientTls(Authority(tmp_path, "other").ca_file)
    tls = ClientTls(authority.ca_file)
    async with receiver_rig(**both(server.keys()), tls=tls) as rig:
        async with grpc_client(rig, stranger) as client:
            assert (await client.export(REQUEST, timeout_s=5)).code is UNAVAILABLE
        async with http_client(rig, stranger) as client:
            with pytest.raises(aiohttp.ClientError):
                await client.post(REQUEST)
        await served(rig)


async def test_new_files_are_used_for_new_connections(
    authority: Authority, server: Pair, tmp_path: Path
) -> None:
    """Files that change are read again: new clients see the new certificate, and open
    connections go on."""
    other = Authority(tmp_path, "other")
    tls = {**server.keys(), "reload_interval": "1ms"}
    async with receiver_rig(**both(tls), tls=ClientTls(authority.ca_file)) as rig:
        await served(rig)
        other.issue("next").copy_to(server)
        await asyncio.sleep(0.01)
        renewed = ClientTls(other.ca_file)
        async with grpc_client(rig, renewed) as client:
            assert (await client.export(REQUEST)).code is OK
        async with http_client(rig, renewed) as client:
            assert (await client.post(REQUEST)).status == 200
        await served(rig)
        assert rig.metrics.value("tailring_tls_reloads", outcome="success") == 2


async def test_bad_new_files_leave_the_old_ones_in_use(
    authority: Authority, server: Pair
) -> None:
    """A certificate that is half written is counted, and the old one goes on."""
    tls = {**server.keys(), "reload_interval": "1ms"}
    trusting = ClientTls(authority.ca_file)
    async with receiver_rig(**both(tls), tls=trusting) as rig:
        server.cert_file.write_text("-----BEGIN CERTIFICATE-----\nMII")
        await asyncio.sleep(0.01)
        async with grpc_client(rig, trusting) as client:
            assert (await client.export(REQUEST)).code is OK
        async with http_client(rig, trusting) as client:
            assert (await client.post(REQUEST)).status == 200
        assert rig.metrics.value("tailring_tls_reloads", outcome="failure") >= 2


async def test_a_new_client_ca_is_asked_for_when_told_so(
    authority: Authority, server: Pair, tmp_path: Path
) -> None:
    """With client_ca_file_reload, whose CA was taken out is turned away."""
    other = Authority(tmp_path, "other")
    first, second = authority.issue("first"), other.issue("second")
    trusted = tmp_path / "clients.pem"
    trusted.write_bytes(authority.ca_file.read_bytes())
    tls = {
        **server.keys(),
        "client_ca_file": str(trusted),
        "client_ca_file_reload": True,
        "reload_interval": "1ms",
    }
    old = ClientTls(authority.ca_file, first)
    new = ClientTls(authority.ca_file, second)
    async with receiver_rig(**both(tls), tls=old) as rig:
        await served(rig)
        trusted.write_bytes(other.ca_file.read_bytes())
        await asyncio.sleep(0.01)
        async with grpc_client(rig, new) as client:
            assert (await client.export(REQUEST)).code is OK
        async with grpc_client(rig, old) as client:
            assert (await client.export(REQUEST, timeout_s=5)).code is UNAVAILABLE
        async with http_client(rig, new) as client:
            assert (await client.post(REQUEST)).status == 200
        async with http_client(rig, old) as client:
            with pytest.raises((aiohttp.ClientError, OSError)):
                await client.post(REQUEST)


@pytest.mark.parametrize(
    ("limits", "offered", "spoken"),
    [
        ({"min_version": "1.3"}, ssl.TLSVersion.TLSv1_2, False),
        ({"min_version": "1.2"}, ssl.TLSVersion.TLSv1_2, True),
        ({"max_version": "1.2"}, ssl.TLSVersion.TLSv1_3, False),
    ],
)
async def test_http_keeps_to_its_versions(
    authority: Authority,
    server: Pair,
    limits: dict[str, str],
    offered: ssl.TLSVersion,
    spoken: bool,
) -> None:
    """min_version and max_version decide who is spoken to over HTTP."""
    context = ClientTls(authority.ca_file).context()
    context.minimum_version = context.maximum_version = offered
    async with receiver_rig(http={"tls": {**server.keys(), **limits}}) as rig:
        url = f"https://127.0.0.1:{rig.receiver.http_port}"
        async with HttpClient(url, tls=context) as client:
            if spoken:
                assert (await client.post(REQUEST)).status == 200
            else:
                with pytest.raises(aiohttp.ClientError):
                    await client.post(REQUEST)
