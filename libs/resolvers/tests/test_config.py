"""The resolver block: what is taken, and in which words the rest is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tailring_resolvers import (
    DnsResolver,
    ResolverConfig,
    StaticResolver,
    build_resolver,
)
from tailring_runtime.metrics import Metrics


def problems(block: dict[str, Any]) -> list[tuple[str, str]]:
    """Key path and words of everything that is wrong with a resolver block."""
    with pytest.raises(ValidationError) as raised:
        ResolverConfig.model_validate(block, context={"from_file": True})
    found = raised.value.errors()
    return [
        (
            ".".join(str(key) for key in one["loc"]),
            one["msg"].removeprefix("Value error, "),
        )
        for one in found
    ]


@pytest.mark.parametrize("block", [{}, {"dns": None}, {"static": None, "dns": None}])
def test_no_resolver_is_refused(block: dict[str, Any]) -> None:
    """A block without a resolver, or with an empty key, has none."""
    assert problems(block) == [("", "no resolvers specified for the exporter")]


def test_two_resolvers_are_refused() -> None:
    """Both at once is one too many."""
    block = {"static": {"hostnames": ["a"]}, "dns": {"hostname": "b"}}
    assert problems(block) == [("", "only one resolver should be specified")]


@pytest.mark.parametrize("static", [{}, {"hostnames": []}, {"hostnames": None}])
def test_a_static_list_needs_hostnames(static: dict[str, Any]) -> None:
    """A static resolver without any host name is refused in upstream's words."""
    expected = "no endpoints specified for the static resolver"
    assert problems({"static": static}) == [("static.hostnames", expected)]


@pytest.mark.parametrize("dns", [{}, {"hostname": ""}, {"hostname": None}])
def test_dns_needs_a_hostname(dns: dict[str, Any]) -> None:
    """A dns resolver without a host name is refused in upstream's words."""
    expected = "no hostname specified to resolve the backends"
    assert problems({"dns": dns}) == [("dns.hostname", expected)]


def test_an_unknown_resolver_is_refused() -> None:
    """A key that nobody knows is an unknown key."""
    assert problems({"dnss": {"hostname": "a"}}) == [("dnss", "unknown key")]


@pytest.mark.parametrize("key", ["interval", "timeout"])
def test_a_negative_duration_is_refused(key: str) -> None:
    """A negative interval or timeout, which upstream panics on, is refused."""
    found = problems({"dns": {"hostname": "a", key: "-1s"}})
    assert found == [(f"dns.{key}", "must not be negative")]


def test_all_problems_are_told_at_once() -> None:
    """A missing name, a bad port and a bad interval are three problems."""
    found = problems({"dns": {"port": "x", "interval": "-1s", "colour": 1}})
    paths = {"dns.hostname", "dns.port", "dns.interval", "dns.colour"}
    assert {path for path, _ in found} == paths


@pytest.mark.parametrize(
    ("port", "expected"), [("4317", "4317"), (4317, "4317"), ("", ""), (None, "")]
)
def test_the_port_is_text_or_a_number(port: object, expected: str) -> None:
    """A port may be written with and without quotes, or left away."""
    block = {"dns": {"hostname": "a", "port": port}}
    config = ResolverConfig.model_validate(block)
    assert config.dns is not None
    assert config.dns.port == expected


@pytest.mark.parametrize("port", ["http", 0, 65536, -1, True, 43.5])
def test_a_port_that_is_none_is_refused(port: object) -> None:
    """What cannot be a port is refused at the start, not at the first dial."""
    assert len(problems({"dns": {"hostname": "a", "port": port}})) == 1


def cloud_map(**block: object) -> dict[str, Any]:
    """A block of aws_cloud_map."""
    return {"aws_cloud_map": {"namespace": "n", "service_name": "s", **block}}


def test_cloud_map_needs_a_namespace_and_a_service() -> None:
    """Both are asked for at once, in upstream's words."""
    assert problems({"aws_cloud_map": {}}) == [
        (
            "aws_cloud_map.namespace",
            "no Cloud Map namespace specified to resolve the backends",
        ),
        (
            "aws_cloud_map.service_name",
            "no Cloud Map service_name specified to resolve the backends",
        ),
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("health_status", "healthy"),
        ("interval", "-1s"),
        ("timeout", "-1s"),
        ("port", 0),
        ("port", 65536),
        ("port", "4317"),
        ("owner_account", 123456789012),
        ("owner_account", "1234"),
    ],
)
def test_a_wrong_value_of_cloud_map_is_refused(key: str, value: object) -> None:
    """What the API, or a dial, would refuse later is refused at the start."""
    found = problems(cloud_map(**{key: value}))
    assert [path for path, _ in found] == [f"aws_cloud_map.{key}"]


def test_the_defaults_of_cloud_map() -> None:
    """It is asked every 30 s, for at most 5 s, unless the block says otherwise."""
    zero = ResolverConfig.model_validate(cloud_map(interval=0, timeout=0))
    written = ResolverConfig.model_validate(cloud_map(interval="1m", timeout="2s"))
    assert zero.aws_cloud_map is not None
    assert written.aws_cloud_map is not None
    assert (zero.aws_cloud_map.interval_s, zero.aws_cloud_map.timeout_s) == (30.0, 5.0)
    assert written.aws_cloud_map.interval_s == 60.0
    assert written.aws_cloud_map.timeout_s == 2.0


@pytest.mark.parametrize("zero", [{}, {"interval": 0, "timeout": 0}])
def test_zero_durations_have_defaults(zero: dict[str, int]) -> None:
    """Left away or zero, a lookup is made every 5 s and takes at most 1 s."""
    config = ResolverConfig.model_validate({"dns": {"hostname": "a", **zero}})
    assert config.dns is not None
    assert (config.dns.interval_s, config.dns.timeout_s) == (5.0, 1.0)


def test_durations_are_read() -> None:
    """Written durations hold."""
    block = {"dns": {"hostname": "a", "interval": "1m30s", "timeout": "200ms"}}
    config = ResolverConfig.model_validate(block)
    assert config.dns is not None
    assert (config.dns.interval_s, config.dns.timeout_s) == (90.0, 0.2)


def test_one_hostname_stands_for_a_list() -> None:
    """A single text is a list of one, and a list keeps its duplicates."""
    one = ResolverConfig.model_validate({"static": {"hostnames": "a:1"}})
    two = ResolverConfig.model_validate({"static": {"hostnames": ["a:1", "a:1"]}})
    assert one.static is not None
    assert two.static is not None
    assert one.static.hostnames == ("a:1",)
    assert two.static.hostnames == ("a:1", "a:1")


def test_the_block_decides_what_is_built() -> None:
    """Each kind of block builds its resolver, which asks nothing yet."""
    static = ResolverConfig.model_validate({"static": {"hostnames": ["a"]}})
    dns = ResolverConfig.model_validate({"dns": {"hostname": "a.test"}})
    assert isinstance(build_resolver(static, metrics=Metrics()), StaticResolver)
    assert isinstance(build_resolver(dns, metrics=Metrics()), DnsResolver)


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("", None),
        ("10.0.0.2", ("10.0.0.2", 53)),
        ("10.0.0.2:5353", ("10.0.0.2", 5353)),
        ("fd00::2", ("fd00::2", 53)),
        ("[fd00::2]", ("fd00::2", 53)),
        ("[fd00::2]:5353", ("fd00::2", 5353)),
        ("dns.test", ("dns.test", 53)),
        ("dns.test:54", ("dns.test", 54)),
    ],
)
def test_a_dns_server_is_host_and_port(
    server: str, expected: tuple[str, int] | None
) -> None:
    """The server is an address or a name, with port 53 unless one is given."""
    config = ResolverConfig.model_validate({"dns": {"hostname": "a", "server": server}})
    assert config.dns is not None
    assert config.dns.server_address == expected


@pytest.mark.parametrize("server", [":53", "a:b", "a:0", "a:65536", "a:1:2", "[::1"])
def test_a_server_that_is_none_is_refused(server: str) -> None:
    """What cannot be asked is refused at the start."""
    found = problems({"dns": {"hostname": "a", "server": server}})
    assert [path for path, _ in found] == ["dns.server"]


def test_a_port_beside_srv_records_is_refused() -> None:
    """The records have ports, so another one would be ignored."""
    block = {"hostname": "_otlp._tcp.sampler.test", "port": 4317}
    ((path, words),) = problems({"dns": block})
    assert path == "dns"
    assert words.startswith("port is not used with a name of SRV records")
