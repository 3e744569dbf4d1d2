"""The k8s block: which Services are meant, and in which words the rest is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tailring_resolvers import K8sResolver, ResolverConfig, build_resolver
from tailring_resolvers.k8s_config import K8sResolverConfig, Service, parse_service
from tailring_runtime.metrics import Metrics

FQDN = "invalid Kubernetes service FQDN: "


def read(**block: Any) -> K8sResolverConfig:
    """The block as a file gives it."""
    found = ResolverConfig.model_validate(
        {"k8s": {"service": "s", **block}}, context={"from_file": True}
    )
    assert found.k8s is not None
    return found.k8s


def problem(**block: Any) -> tuple[str, str]:
    """Key path and words of the one problem."""
    with pytest.raises(ValidationError) as raised:
        read(**block)
    (found,) = raised.value.errors()
    path = ".".join(str(key) for key in found["loc"])
    return path, found["msg"].removeprefix("Value error, ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sampler", Service("sampler", "")),
        ("sampler.", Service("sampler", "")),
        ("sampler.shop", Service("sampler", "shop")),
        ("sampler.shop.svc.cluster.local", Service("sampler", "shop")),
        ("sampler.shop.svc.cluster.local.", Service("sampler", "shop")),
        ("sampler.shop.svc.", Service("sampler", "shop")),
    ],
)
def test_a_service_is_named_in_three_ways(text: str, expected: Service) -> None:
    """The name alone, with its namespace, or in full, with upstream's odd forms."""
    assert parse_service(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no service specified to resolve the backends"),
        (".shop", "no service specified to resolve the backends"),
        ("s..svc.x", FQDN + 'namespace segment missing in "s..svc.x"'),
        ("s.n.", FQDN + "expected third DNS label to be 'svc' in \"s.n.\""),
        ("s.n.foo", FQDN + "expected third DNS label to be 'svc' in \"s.n.foo\""),
        ("s.n.svc", FQDN + 'missing cluster domain in "s.n.svc"'),
    ],
)
def test_a_bad_service_is_refused(text: str, words: str) -> None:
    """What is no Service is refused in upstream's words, at its key."""
    assert problem(service=text) == ("k8s.service", words)


@pytest.mark.parametrize("ports", [["4317"], [0], [65536], [-1], [1.5], [True]])
def test_a_bad_port_is_refused(ports: list[object]) -> None:
    """A port is a number that a port can have; a text is none, as upstream."""
    assert problem(ports=ports)[0] == "k8s.ports.0"


@pytest.mark.parametrize("key", ["timeout", "hold_empty", "hold_down"])
def test_a_negative_duration_is_refused(key: str) -> None:
    """No duration of the block may be negative."""
    assert problem(**{key: "-1s"}) == (f"k8s.{key}", "must not be negative")


def test_the_defaults() -> None:
    """A watch lasts a minute, an empty answer is doubted for half of one."""
    config = read()
    assert (config.watch_s, config.ports, config.return_hostnames) == (60, (), False)
    assert (config.hold_empty, config.hold_down) == (30_000_000_000, 0)


@pytest.mark.parametrize(
    ("timeout", "seconds"), [("0s", 60), ("90s", 90), ("1500ms", 1), ("999ms", 0)]
)
def test_a_watch_lasts_whole_seconds(timeout: str, seconds: int) -> None:
    """Fractions are cut, as upstream cuts them; below a second the server decides."""
    assert read(timeout=timeout).watch_s == seconds


def test_the_block_is_built() -> None:
    """A block with k8s becomes the resolver of that kind; nothing is asked yet."""
    config = ResolverConfig(k8s=K8sResolverConfig(service="s", ports=(1, 2)))
    resolver = build_resolver(config, metrics=Metrics())
    assert isinstance(resolver, K8sResolver)
    assert (resolver.kind, resolver.endpoints()) == ("k8s", ())
