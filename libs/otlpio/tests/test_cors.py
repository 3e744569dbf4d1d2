"""Browser pages: which origins may send traces."""

from __future__ import annotations

from typing import Any

import pytest

from tailring_testkit import otlp
from tailring_testkit.otlp_clients import PROTOBUF, HttpReply
from tailring_testkit.receiver_rig import receiver_rig

ONE = otlp.request(otlp.span(b"t" * 16, b"s" * 8))
CORS = {
    "allowed_origins": ["https://shop.example", "https://*.test.example"],
    "allowed_headers": ["X-Tenant"],
    "exposed_headers": ["X-Trace"],
    "max_age": 600,
}


async def preflight(
    origin: str, *, cors: dict[str, Any] = CORS, asked: str = "content-type"
) -> HttpReply:
    """The answer to a browser's question whether it may POST."""
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": asked,
    }
    async with receiver_rig(http={"cors": cors}) as rig:
        return await rig.http.request("OPTIONS", headers=headers)


@pytest.mark.parametrize(
    "origin", ["https://shop.example", "https://a.test.example", "HTTPS://SHOP.EXAMPLE"]
)
async def test_allowed_origins_may_send(origin: str) -> None:
    """A preflight from an allowed origin, wildcards included, grants POST."""
    reply = await preflight(origin, asked="content-type, x-tenant")
    assert reply.status == 204
    assert reply.headers["access-control-allow-origin"] == origin
    assert reply.headers["access-control-allow-methods"] == "POST"
    assert reply.headers["access-control-allow-headers"] == "content-type, x-tenant"
    assert reply.headers["access-control-max-age"] == "600"


@pytest.mark.parametrize(
    ("origin", "asked"),
    [
        ("https://evil.example", "content-type"),
        ("https://test.example", "content-type"),
        ("https://shop.example", "x-secret"),
    ],
)
async def test_other_origins_and_headers_are_not_granted(
    origin: str, asked: str
) -> None:
    """A preflight of an unknown origin or header grants nothing."""
    reply = await preflight(origin, asked=asked)
    assert reply.status == 204
    assert "access-control-allow-origin" not in reply.headers


async def test_a_star_allows_every_origin_and_header() -> None:
    """`*` as origin and header grants whatever is asked."""
    cors = {"allowed_origins": ["*"], "allowed_headers": ["*"]}
    reply = await preflight("https://any.example", cors=cors, asked="x-anything")
    assert reply.headers["access-control-allow-origin"] == "*"


async def test_answers_name_the_allowed_origin() -> None:
    """The answer of a POST from an allowed page may be read by it."""
    headers = {"Origin": "https://shop.example", "Content-Type": PROTOBUF}
    async with receiver_rig(http={"cors": CORS}) as rig:
        reply = await rig.http.request("POST", body=ONE, headers=headers)
        assert reply.status == 200
        assert reply.headers["access-control-allow-origin"] == "https://shop.example"
        assert reply.headers["access-control-expose-headers"] == "X-Trace"
        assert reply.headers["vary"] == "Origin"


async def test_without_cors_nothing_is_granted() -> None:
    """Without a cors block no answer has a header of its kind."""
    headers = {"Origin": "https://shop.example", "Content-Type": PROTOBUF}
    async with receiver_rig() as rig:
        reply = await rig.http.request("POST", body=ONE, headers=headers)
        assert reply.status == 200
        assert not [name for name in reply.headers if name.startswith("access-")]
