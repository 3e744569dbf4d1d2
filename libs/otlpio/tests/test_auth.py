"""Who may come in: both doors with an authenticator, and exporters that have one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import (  # type: ignore[import-untyped]  # no stubs exist
    Status,
)
from pydantic import ValidationError

from tailring_otlpio import (
    BasicAuthConfig,
    BearerTokenAuthConfig,
    Extensions,
    OtlpClient,
    OtlpExporterConfig,
    ReceiverSettings,
    client_credentials,
)
from tailring_pipeline import Rejected
from tailring_runtime.config import (
    CollectorConfig,
    ComponentId,
    ConfigModel,
    ServiceConfig,
)
from tailring_runtime.metrics import Metrics
from tailring_testkit import otlp
from tailring_testkit.otlp_clients import JSON, PROTOBUF
from tailring_testkit.pki import Authority, ClientTls
from tailring_testkit.receiver_rig import Counts, ReceiverRig, receiver_rig

REQUEST = otlp.request(otlp.span(b"\x01" * 16, b"\x02" * 8))
BEARER = BearerTokenAuthConfig.model_validate({"token": "good"})
BASIC = BasicAuthConfig.model_validate({"htpasswd": {"inline": "ann:secret"}})
WRONG = "provided authorization does not match expected scheme or token"
MISSING = "missing or empty authorization header: Authorization"
FAILURES = "tailring_receiver_auth_failures"


def extensions_of(**models: ConfigModel) -> Extensions:
    """The extensions of a process with these, all in use."""
    found = {ComponentId(name): model for name, model in models.items()}
    service = ServiceConfig(pipelines={}, extensions=tuple(found))
    config = CollectorConfig(service=service, extensions=found)
    return Extensions(config, metrics=Metrics())


@asynccontextmanager
async def guarded(
    model: ConfigModel, *, http: dict[str, Any] | None = None, **more: Any
) -> AsyncIterator[ReceiverRig]:
    """A rig whose doors ask an extension with this configuration."""
    extensions = extensions_of(guard=model)
    for part in extensions.parts.values():
        await part.start()
    auth = {"auth": {"authenticator": "guard"}}
    try:
        async with receiver_rig(
            grpc={**auth, **more.pop("grpc", {})},
            http={"auth": {**auth["auth"], **(http or {})}, **more.pop("keys", {})},
            settings=ReceiverSettings(extensions=extensions),
            **more,
        ) as rig:
            yield rig
    finally:
        for part in extensions.parts.values():
            await part.terminate()


TABLE = [
    (BEARER, "Bearer good", "", ""),
    (BEARER, None, MISSING, "missing"),
    (BEARER, "Bearer bad", WRONG, "wrong"),
    (BEARER, "good", WRONG, "wrong"),
    (BASIC, "Basic YW5uOnNlY3JldA==", "", ""),
    (BASIC, None, "no basic auth provided", "missing"),
    (BASIC, "Bearer good", "invalid authorization scheme prefix", "malformed"),
    (BASIC, "Basic !", "invalid authorization format", "malformed"),
    (BASIC, "Basic YW5uOndyb25n", "invalid credentials", "wrong"),
]


@pytest.mark.parametrize(("model", "header", "said", "reason"), TABLE)
async def test_grpc_lets_in_who_is_known(
    model: ConfigModel, header: str | None, said: str, reason: str
) -> None:
    """Input, answer and counter of the gRPC door."""
    async with guarded(model) as rig:
        metadata = (("authorization", header),) if header else ()
        reply = await rig.grpc.export(REQUEST, metadata=metadata)
        if not reason:
            assert reply.code is grpc.StatusCode.OK
            assert rig.counts("grpc") == Counts(accepted_spans=1, success=1)
            return
        assert (reply.code, reply.details) == (grpc.StatusCode.UNAUTHENTICATED, said)
        assert reply.retry_after_s is None
        assert rig.metrics.value(FAILURES, transport="grpc", reason=reason) == 1
        assert rig.counts("grpc") == Counts(refused=1)
        assert rig.sink.items == 0


@pytest.mark.parametrize(("model", "header", "said", "reason"), TABLE)
async def test_http_lets_in_who_is_known(
    model: ConfigModel, header: str | None, said: str, reason: str
) -> None:
    """Input, answer and counter of the HTTP door."""
    async with guarded(model) as rig:
        headers = {"Content-Type": PROTOBUF}
        if header:
            headers["Authorization"] = header
        reply = await rig.http.request("POST", body=REQUEST, headers=headers)
        if not reason:
            assert reply.status == 200
            assert rig.counts("http") == Counts(accepted_spans=1, success=1)
            return
        assert (reply.status, reply.content_type) == (401, PROTOBUF)
        answer = Status.FromString(reply.body)
        assert (answer.code, answer.message) == (16, said)
        assert rig.metrics.value(FAILURES, transport="http", reason=reason) == 1
        assert rig.counts("http") == Counts(refused=1)
        assert rig.sink.items == 0


async def test_the_answer_is_in_the_type_of_the_request() -> None:
    """JSON is answered with JSON, anything else with plain text."""
    async with guarded(BEARER) as rig:
        reply = await rig.http.request("POST", headers={"Content-Type": JSON})
        assert (reply.status, reply.content_type) == (401, JSON)
        assert json.loads(reply.body) == {"code": 16, "message": MISSING}
        reply = await rig.http.request("GET")
        assert (reply.status, reply.body) == (401, MISSING.encode())


async def test_who_is_not_known_learns_nothing() -> None:
    """A path that is not there is 401 like any other."""
    async with guarded(BEARER) as rig:
        assert (await rig.http.request("POST", "/elsewhere")).status == 401


async def test_a_browser_may_ask_first() -> None:
    """A preflight has no credentials and needs none, as upstream."""
    keys = {"cors": {"allowed_origins": ["https://a.example"]}}
    async with guarded(BEARER, keys=keys) as rig:
        headers = {
            "Origin": "https://a.example",
            "Access-Control-Request-Method": "POST",
        }
        assert (await rig.http.request("OPTIONS", headers=headers)).status == 204


async def test_a_header_may_come_in_the_query() -> None:
    """request_params names parameters that stand for headers."""
    async with guarded(BEARER, http={"request_params": ["authorization"]}) as rig:
        path = "/v1/traces?authorization=Bearer%20good"
        reply = await rig.http.post(REQUEST, path=path)
        assert reply.status == 200
    async with guarded(BEARER) as rig:
        assert (await rig.http.post(REQUEST, path=path)).status == 401


async def test_a_large_body_of_somebody_unknown_is_not_read() -> None:
    """The answer comes before the body."""
    async with guarded(BEARER) as rig:
        reply = await rig.http.post(b"\0" * (1 << 20))
        assert reply.status == 401
        assert rig.in_flight() == (0, 0)


@asynccontextmanager
async def exporter_to(
    rig: ReceiverRig, authority: Authority, model: ConfigModel
) -> AsyncIterator[OtlpClient]:
    """A client of the rig that shows what ``model`` says."""
    extensions = extensions_of(me=model)
    for part in extensions.parts.values():
        await part.start()
    config = OtlpExporterConfig.model_validate(
        {
            "endpoint": "x:1",
            "tls": {"ca_file": str(authority.ca_file)},
            "auth": {"authenticator": "me"},
            "headers": {"x-tenant": "a"},
        }
    )
    client = OtlpClient(
        f"127.0.0.1:{rig.receiver.grpc_port}",
        config,
        credentials=client_credentials(
            config, where="exporters::otlp", metrics=Metrics(), extensions=extensions
        ),
    )
    try:
        yield client
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("guard", "good", "bad"),
    [
        (BEARER, {"token": "good"}, {"token": "bad"}),
        (
            BASIC,
            {"client_auth": {"username": "ann", "password": "secret"}},
            {"client_auth": {"username": "ann", "password": "bad"}},
        ),
    ],
)
async def test_an_exporter_makes_itself_known(
    tmp_path: Any, guard: ConfigModel, good: dict[str, Any], bad: dict[str, Any]
) -> None:
    """With the right secret its requests are taken; with a wrong one they are rejected
    for good, because the same bytes would be again."""
    authority = Authority(tmp_path)
    tls = {"tls": authority.issue("server").keys()}
    trusting = ClientTls(authority.ca_file)
    async with guarded(guard, grpc=tls, keys=tls, tls=trusting) as rig:
        model = type(guard)
        async with exporter_to(rig, authority, model.model_validate(good)) as client:
            assert await client.export(REQUEST, timeout_s=5) is None
        async with exporter_to(rig, authority, model.model_validate(bad)) as client:
            with pytest.raises(Rejected) as rejected:
                await client.export(REQUEST, timeout_s=5)
        assert rejected.value.reason == "unauthenticated"
        assert rig.sink.items == 1


def test_secrets_are_not_sent_in_plaintext() -> None:
    """auth beside `insecure: true` is refused, as upstream does when it dials."""
    keys = {"endpoint": "x:1", "auth": {"authenticator": "me"}}
    with pytest.raises(ValidationError, match="sent with TLS only"):
        OtlpExporterConfig.model_validate({**keys, "tls": {"insecure": True}})
    OtlpExporterConfig.model_validate(keys)
