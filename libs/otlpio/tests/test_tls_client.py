"""TLS of an exporter's connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tailring_otlpio import (
    Credentials,
    Extensions,
    OtlpClient,
    OtlpExporterConfig,
    client_credentials,
)
from tailring_pipeline import Refused
from tailring_runtime.config import CollectorConfig, ServiceConfig
from tailring_runtime.errors import StartError
from tailring_runtime.metrics import Metrics
from tailring_testkit import otlp
from tailring_testkit.pki import Authority, ClientTls
from tailring_testkit.receiver_rig import ReceiverRig, receiver_rig

REQUEST = otlp.request(otlp.span(b"\x01" * 16, b"\x02" * 8))
NOBODY = CollectorConfig(service=ServiceConfig(pipelines={}))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Who issues the certificates that are good."""
    return Authority(tmp_path)


def credentials(
    tls: dict[str, Any], metrics: Metrics, *, endpoint: str = "x:1"
) -> tuple[OtlpExporterConfig, Credentials]:
    """The configuration of an exporter with this ``tls``, and its credentials."""
    config = OtlpExporterConfig.model_validate({"endpoint": endpoint, "tls": tls})
    extensions = Extensions(NOBODY, metrics=metrics)
    made = client_credentials(
        config, where="exporters::otlp", metrics=metrics, extensions=extensions
    )
    return config, made


@asynccontextmanager
async def client_of(
    rig: ReceiverRig, tls: dict[str, Any], *, metrics: Metrics | None = None
) -> AsyncIterator[OtlpClient]:
    """A client of the rig's gRPC door."""
    config, made = credentials(tls, metrics or Metrics())
    address = f"127.0.0.1:{rig.receiver.grpc_port}"
    client = OtlpClient(address, config, credentials=made)
    try:
        yield client
    finally:
        await client.close()


async def test_a_backend_of_the_given_ca_is_trusted(authority: Authority) -> None:
    """ca_file, or the same as ca_pem, is what a backend's certificate is of."""
    door = {"tls": authority.issue("server").keys()}
    async with receiver_rig(grpc=door, tls=ClientTls(authority.ca_file)) as rig:
        for trusted in (
            {"ca_file": str(authority.ca_file)},
            {"ca_pem": authority.ca_file.read_text()},
        ):
            async with client_of(rig, trusted) as client:
                assert await client.export(REQUEST, timeout_s=5) is None


async def test_insecure_means_nothing_beside_a_ca(authority: Authority) -> None:
    """A CA switches TLS on, as upstream."""
    door = {"tls": authority.issue("server").keys()}
    async with receiver_rig(grpc=door, tls=ClientTls(authority.ca_file)) as rig:
        tls = {"ca_file": str(authority.ca_file), "insecure": True}
        async with client_of(rig, tls) as client:
            assert await client.export(REQUEST, timeout_s=5) is None


async def test_a_backend_shows_who_it_is_or_is_not_sent_to(
    authority: Authority, tmp_path: Path
) -> None:
    """Another CA, and a certificate for another name, are unreachable."""
    door = {"tls": authority.issue("server", "sampler.example").keys()}
    other = Authority(tmp_path, "other")
    async with receiver_rig(grpc=door, tls=ClientTls(authority.ca_file)) as rig:
        for trusted in (other.ca_file, authority.ca_file):
            async with client_of(rig, {"ca_file": str(trusted)}) as client:
                with pytest.raises(Refused) as refused:
                    await client.export(REQUEST, timeout_s=5)
                assert refused.value.reason == "unreachable"


async def test_a_backend_without_tls_is_told_as_that(authority: Authority) -> None:
    """Who forgot the tls block reads what to write, and not only that TLS failed."""
    trusted = {"ca_file": str(authority.ca_file)}
    async with receiver_rig(grpc={}) as rig, client_of(rig, trusted) as client:
        with pytest.raises(Refused, match=r"write tls: \{insecure: true\} here"):
            await client.export(REQUEST, timeout_s=5)


async def test_the_name_of_a_certificate_may_be_given(authority: Authority) -> None:
    """server_name_override is what the certificate must be for."""
    door = {"tls": authority.issue("server", "sampler.example").keys()}
    async with receiver_rig(grpc=door, tls=ClientTls(authority.ca_file)) as rig:
        tls = {
            "ca_file": str(authority.ca_file),
            "server_name_override": "sampler.example",
        }
        async with client_of(rig, tls) as client:
            assert await client.export(REQUEST, timeout_s=5) is None


async def test_a_client_shows_its_certificate(authority: Authority) -> None:
    """With cert_file and key_file an exporter gets past client_ca_file."""
    pair = authority.issue("router")
    door = authority.issue("server").keys()
    tls = {"ca_file": str(authority.ca_file)}
    async with receiver_rig(
        grpc={"tls": {**door, "client_ca_file": str(authority.ca_file)}},
        tls=ClientTls(authority.ca_file, pair),
    ) as rig:
        async with client_of(rig, tls) as client:
            with pytest.raises(Refused):
                await client.export(REQUEST, timeout_s=5)
        async with client_of(rig, {**tls, **pair.keys()}) as client:
            assert await client.export(REQUEST, timeout_s=5) is None


async def test_new_files_make_a_new_connection(
    authority: Authority, tmp_path: Path
) -> None:
    """When the CA file changes, the next request trusts the new one."""
    other = Authority(tmp_path, "other")
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(authority.ca_file.read_bytes())
    metrics = Metrics()
    server = authority.issue("server")
    door = {"tls": {**server.keys(), "reload_interval": "1ms"}}
    tls = {"ca_file": str(trusted), "reload_interval": "1ms"}
    async with (
        receiver_rig(grpc=door, tls=ClientTls(authority.ca_file)) as rig,
        client_of(rig, tls, metrics=metrics) as client,
    ):
        assert await client.export(REQUEST, timeout_s=5) is None
        other.issue("next").copy_to(server)
        trusted.write_bytes(other.ca_file.read_bytes())
        await asyncio.sleep(0.01)
        assert await client.export(REQUEST, timeout_s=5) is None
        assert metrics.value("tailring_tls_reloads", outcome="success") == 1


async def test_requests_under_way_end_on_the_old_connection(
    authority: Authority, tmp_path: Path
) -> None:
    """A call that waits for its answer while the files change gets it."""
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(authority.ca_file.read_bytes())
    door = {"tls": authority.issue("server").keys()}
    tls = {"ca_file": str(trusted), "reload_interval": "1ms"}
    async with (
        receiver_rig(grpc=door, tls=ClientTls(authority.ca_file)) as rig,
        client_of(rig, tls) as client,
    ):
        rig.sink.hold()
        async with asyncio.TaskGroup() as group:
            first = group.create_task(client.export(REQUEST, timeout_s=5))
            await rig.sink.wait_in_flight(1)
            trusted.write_bytes(
                authority.ca_file.read_bytes()
                + Authority(tmp_path, "other").ca_file.read_bytes()
            )
            await asyncio.sleep(0.01)
            second = group.create_task(client.export(REQUEST, timeout_s=5))
            await rig.sink.wait_in_flight(2)
            rig.sink.release()
        assert (first.result(), second.result()) == (None, None)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("missing", "exporters::otlp::tls::ca_file: {path}: No such file or directory"),
        ("empty", "exporters::otlp::tls::ca_file: {path}: it is empty"),
        ("text", "exporters::otlp::tls::ca_file: {path}: it has no certificate (PEM)"),
    ],
)
def test_a_bad_ca_is_told_with_its_key_and_file(
    tmp_path: Path, bad: str, message: str
) -> None:
    """One sentence says which key, which file and why."""
    path = tmp_path / "ca.pem"
    if bad != "missing":
        path.write_text("" if bad == "empty" else "hello")
    with pytest.raises(StartError) as caught:
        credentials({"ca_file": str(path)}, Metrics())
    assert str(caught.value) == message.format(path=path)


def test_a_bad_pair_is_told_with_its_key_and_file(
    tmp_path: Path, authority: Authority
) -> None:
    """A foreign key, a key that is none, and an expired certificate are told apart."""
    good, other = authority.issue("good"), authority.issue("other")
    old = authority.issue("old", expired=True)
    text = tmp_path / "text"
    text.write_text("hello")
    where = "exporters::otlp::tls"
    for cert, key, message in (
        (
            good.cert_file,
            other.key_file,
            f"{where}::key_file: {other.key_file}: it is the key of another",
        ),
        (
            good.cert_file,
            text,
            f"{where}::key_file: {text}: it is not a usable key (PEM)",
        ),
        (
            old.cert_file,
            old.key_file,
            f"{where}::cert_file: {old.cert_file}: the certificate expired on",
        ),
        (
            text,
            good.key_file,
            f"{where}::cert_file: {text}: it has no certificate (PEM)",
        ),
    ):
        with pytest.raises(StartError) as caught:
            credentials({"cert_file": str(cert), "key_file": str(key)}, Metrics())
        assert str(caught.value).startswith(message)


def test_the_end_of_a_certificate_is_a_metric(authority: Authority) -> None:
    """The gauge is the time at which the exporter's own certificate expires."""
    metrics = Metrics()
    credentials(authority.issue("router").keys(), metrics)
    name = "tailring_tls_certificate_not_after_seconds"
    assert metrics.value(name, tls="exporters::otlp::tls") > 1.7e9


def test_https_is_tls_with_the_cas_of_the_system() -> None:
    """An endpoint with https:// is encrypted even beside insecure: true."""
    _, made = credentials({"insecure": True}, Metrics(), endpoint="https://x:1")
    assert made.tls is not None


def test_secrets_are_in_no_text(authority: Authority) -> None:
    """Neither the material nor the configuration shows a key."""
    pair = authority.issue("router")
    pem = {
        "cert_pem": pair.cert_file.read_text(),
        "key_pem": pair.key_file.read_text(),
    }
    config, made = credentials(pem, Metrics())
    assert made.tls is not None
    secret = pem["key_pem"].splitlines()[1]
    for shown in (repr(config), config.model_dump_json(), repr(made.tls.material)):
        assert secret not in shown
