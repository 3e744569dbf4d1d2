"""What endpoints the instances of Cloud Map are, and which of them are none."""

from __future__ import annotations

import pytest

from tailring_resolvers.instances import Found, Instance, endpoints_of
from tailring_testkit.resolver_contract import ring_names


def found_of(*attributes: dict[str, str], port: int | None = None) -> Found:
    """The endpoints of instances that are named by their place."""
    instances = [Instance(f"i{at}", one) for at, one in enumerate(attributes)]
    return endpoints_of(instances, port=port)


def test_the_list_is_sorted() -> None:
    """Whatever order the API answers, the list is in bytewise order."""
    found = found_of(
        {"AWS_INSTANCE_IPV4": "10.0.0.9"},
        {"AWS_INSTANCE_IPV4": "10.0.0.10"},
        port=4317,
    )
    assert ring_names(found.endpoints) == ("10.0.0.10:4317", "10.0.0.9:4317")


@pytest.mark.parametrize(
    ("port", "expected"), [(4317, "10.0.0.1:4317"), (None, "10.0.0.1:5000")]
)
def test_a_configured_port_comes_first(port: int | None, expected: str) -> None:
    """The attribute's port counts only where none is configured."""
    attributes = {"AWS_INSTANCE_IPV4": "10.0.0.1", "AWS_INSTANCE_PORT": "5000"}
    found = found_of(attributes, port=port)
    assert ring_names(found.endpoints) == (expected,)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"AWS_INSTANCE_IPV6": "fd00::1"}, "[fd00::1]:4317"),
        ({"AWS_INSTANCE_IPV6": "FD00:0::1"}, "[fd00::1]:4317"),
        (
            {"AWS_INSTANCE_IPV4": "10.0.0.1", "AWS_INSTANCE_IPV6": "fd00::1"},
            "10.0.0.1:4317",
        ),
    ],
)
def test_ipv6_is_taken_where_there_is_no_ipv4(
    attributes: dict[str, str], expected: str
) -> None:
    """An IPv6 address gets brackets; an instance with both families is one endpoint."""
    found = found_of(attributes, port=4317)
    assert ring_names(found.endpoints) == (expected,)


def test_two_instances_at_one_address_are_two() -> None:
    """An address that is registered twice has two places on the ring, as upstream."""
    found = found_of(*[{"AWS_INSTANCE_IPV4": "10.0.0.1"}] * 2, port=4317)
    assert ring_names(found.endpoints) == ("10.0.0.1:4317",) * 2


@pytest.mark.parametrize("text", ["", "http", "0", "65536", "-1", "43.17", "²"])
def test_an_instance_without_a_port_is_left_out(text: str) -> None:
    """Where nothing says a port that can be dialled, the others stay."""
    found = found_of(
        {"AWS_INSTANCE_IPV4": "10.0.0.1", "AWS_INSTANCE_PORT": text},
        {"AWS_INSTANCE_IPV4": "10.0.0.2", "AWS_INSTANCE_PORT": "4317"},
    )
    assert ring_names(found.endpoints) == ("10.0.0.2:4317",)
    assert found.left_out == {"no_address": (), "no_port": ("i0",)}
    assert "resolver.aws_cloud_map.port" in found.unusable()


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"AWS_INSTANCE_CNAME": "sampler.test"},
        {"AWS_INSTANCE_IPV4": "sampler.test"},
        {"AWS_INSTANCE_IPV6": "10.0.0.1"},
    ],
)
def test_an_instance_without_an_address_is_left_out(attributes: dict[str, str]) -> None:
    """Aliases and instances of other kinds cannot be dialled."""
    found = found_of(attributes, {"AWS_INSTANCE_IPV4": "10.0.0.2"}, port=4317)
    assert ring_names(found.endpoints) == ("10.0.0.2:4317",)
    assert found.left_out == {"no_address": ("i0",), "no_port": ()}


def test_all_reasons_are_told() -> None:
    """Instances that lack different things are counted apart."""
    found = found_of({}, {}, {"AWS_INSTANCE_IPV4": "10.0.0.1"})
    first, second = found.unusable().split("; ", 1)
    assert first.startswith("2 instances have neither")
    assert second.startswith("1 instances have no AWS_INSTANCE_PORT")


def test_nothing_unusable_is_nothing_to_tell() -> None:
    """An answer of which every instance is an endpoint has no complaint."""
    assert found_of({"AWS_INSTANCE_IPV4": "10.0.0.1"}, port=1).unusable() == ""
