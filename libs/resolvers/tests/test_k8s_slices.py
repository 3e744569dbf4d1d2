"""EndpointSlices merged: conditions, moves between slices, names, any order."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailring_resolvers import Endpoint
from tailring_resolvers.k8s_config import Service
from tailring_resolvers.k8s_slices import (
    Slice,
    Slices,
    UnexpectedObject,
    endpoints_of,
    read_slice,
)
from tailring_testkit.kube import endpoint

SERVICE = Service("sampler", "shop")

# Few of each, so that slices share hosts and events meet again.
HOSTS = st.frozensets(st.sampled_from([f"10.0.0.{n}" for n in range(8)]))
SLICES = st.sampled_from("abcd")
EVENTS = st.lists(st.tuples(SLICES, st.none() | HOSTS), max_size=40)


def document(name: str, *endpoints: dict[str, Any]) -> dict[str, Any]:
    """A slice as the API sends it."""
    return {"metadata": {"name": name, "resourceVersion": "7"}, "endpoints": endpoints}


def applied(events: list[tuple[str, frozenset[str] | None]]) -> Slices:
    """The slices after events; each says rightly whether it changed the hosts."""
    slices = Slices()
    for name, hosts in events:
        before = set(slices.hosts())
        if hosts is None:
            changed = slices.drop(name)
        else:
            changed = slices.put(Slice(name, "", hosts))
        assert changed == (before != set(slices.hosts()))
        slices.check_invariants()
    return slices


@given(EVENTS, st.randoms(use_true_random=False))
def test_any_order_of_events_gives_the_final_slices(
    events: list[tuple[str, frozenset[str] | None]], random: Any
) -> None:
    """However the events of different slices are mixed, the hosts are those of the
    final slices, each once."""
    by_slice: dict[str, list[frozenset[str] | None]] = {}
    for name, hosts in events:
        by_slice.setdefault(name, []).append(hosts)
    turns = [name for name, _ in events]
    random.shuffle(turns)
    queues = {name: iter(listed) for name, listed in by_slice.items()}
    mixed = [(name, next(queues[name])) for name in turns]
    final = [listed[-1] for listed in by_slice.values()]
    expected = set().union(*(hosts for hosts in final if hosts is not None))
    assert set(applied(mixed).hosts()) == expected
    assert set(applied(events).hosts()) == expected


@given(EVENTS, st.dictionaries(SLICES, HOSTS))
def test_a_list_replaces_everything(
    events: list[tuple[str, frozenset[str] | None]], final: dict[str, frozenset[str]]
) -> None:
    """After a list only what it says is there, and it tells whether that differs."""
    slices = applied(events)
    before = set(slices.hosts())
    changed = slices.replace(Slice(name, "", hosts) for name, hosts in final.items())
    slices.check_invariants()
    assert set(slices.hosts()) == set().union(*final.values())
    assert changed == (before != set(slices.hosts()))
    assert len(slices) == len(final)


def test_an_address_in_two_slices_stays_until_both_drop_it() -> None:
    """An endpoint that moves between slices is there all the time."""
    slices = Slices()
    slices.put(Slice("a", "", frozenset({"10.0.0.1", "10.0.0.2"})))
    assert not slices.put(Slice("b", "", frozenset({"10.0.0.1"})))
    assert not slices.put(Slice("a", "", frozenset({"10.0.0.2"})))
    assert slices.drop("b")
    assert set(slices.hosts()) == {"10.0.0.2"}


@pytest.mark.parametrize(
    ("conditions", "used"),
    [
        (None, True),
        ({}, True),
        ({"ready": None}, True),
        ({"ready": True}, True),
        ({"ready": False}, False),
        ({"ready": False, "serving": True, "terminating": True}, False),
        ({"ready": True, "terminating": True}, True),
        ({"serving": False}, True),
    ],
)
def test_only_ready_false_is_out(conditions: object, used: bool) -> None:
    """An endpoint is out when ``ready`` is false, whatever else is said of it."""
    one = {"addresses": ["10.0.0.1"], "conditions": conditions}
    found = read_slice(document("a", one), hostnames=False)
    assert (found.hosts, found.not_ready) == (
        (frozenset({"10.0.0.1"}), 0) if used else (frozenset(), 1)
    )


def test_every_address_of_an_endpoint_counts() -> None:
    """An endpoint with two addresses is two hosts."""
    found = read_slice(
        document("a", {"addresses": ["10.0.0.1", "fd00::1"]}), hostnames=False
    )
    assert found.hosts == {"10.0.0.1", "fd00::1"}


def test_an_endpoint_without_a_host_name_is_passed_over() -> None:
    """By host name, only endpoints that are ready and have one count."""
    found = read_slice(
        document(
            "a",
            endpoint("10.0.0.1", hostname="sampler-0"),
            endpoint("10.0.0.2"),
            endpoint("10.0.0.3", hostname="sampler-2", ready=False),
            endpoint("10.0.0.4", ready=False),
        ),
        hostnames=True,
    )
    assert found == Slice("a", "7", frozenset({"sampler-0"}), 2, 1)


@pytest.mark.parametrize("endpoints", [None, []])
def test_a_slice_without_endpoints_is_empty(endpoints: object) -> None:
    """A slice whose list is missing or empty holds nobody."""
    one = {"metadata": {"name": "a"}, "endpoints": endpoints}
    assert read_slice(one, hostnames=False) == Slice("a", "", frozenset())


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "slice",
        {},
        {"metadata": None},
        {"metadata": {}},
        {"metadata": {"name": "a"}, "endpoints": 1},
        {"metadata": {"name": "a"}, "endpoints": [1]},
        {"metadata": {"name": "a"}, "endpoints": [{}]},
        {"metadata": {"name": "a"}, "endpoints": [{"addresses": [1]}]},
        {"metadata": {"name": "a"}, "endpoints": [{"addresses": None}]},
        {"metadata": {"name": "a"}, "endpoints": [{"conditions": "x"}]},
    ],
)
def test_what_is_no_slice_is_said_to_be_none(document: object) -> None:
    """Any other object is an error of its own, never a crash."""
    with pytest.raises(UnexpectedObject):
        read_slice(document, hostnames=False)


def test_ring_names_without_ports() -> None:
    """Without ports the ring holds bare addresses, IPv6 without brackets."""
    found = endpoints_of(
        ["10.0.0.2", "10.0.0.10", "fd00::1"], service=SERVICE, ports=(), hostnames=False
    )
    assert found == (
        Endpoint("10.0.0.10", "10.0.0.10:4317"),
        Endpoint("10.0.0.2", "10.0.0.2:4317"),
        Endpoint("fd00::1", "[fd00::1]:4317"),
    )


def test_ring_names_with_ports() -> None:
    """Every address comes with every port, IPv6 in brackets, in bytewise order."""
    found = endpoints_of(
        ["10.0.0.2", "fd00::1"], service=SERVICE, ports=(4318, 4317), hostnames=False
    )
    names = ("10.0.0.2:4317", "10.0.0.2:4318", "[fd00::1]:4317", "[fd00::1]:4318")
    assert found == tuple(Endpoint(name, name) for name in names)


@pytest.mark.parametrize(
    ("ports", "name"),
    [((), "sampler-0.sampler.shop"), ((4317,), "sampler-0.sampler.shop:4317")],
)
def test_ring_names_of_pods(ports: tuple[int, ...], name: str) -> None:
    """A pod's name is completed by Service and namespace, not by the domain."""
    found = endpoints_of(["sampler-0"], service=SERVICE, ports=ports, hostnames=True)
    assert found == (Endpoint(name, "sampler-0.sampler.shop:4317"),)


def test_1200_endpoints_take_a_few_milliseconds() -> None:
    """One event of 1,200 endpoints in 12 slices costs its slice and the new list: less
    than the 20 ms for which the event loop may be held up."""
    slices = Slices()
    for number in range(12):
        hosts = frozenset(f"10.1.{number}.{host}" for host in range(100))
        slices.put(Slice(f"s{number}", "", hosts))
    ready = [endpoint(f"10.1.0.{host}") for host in range(99)]
    times_ns = []
    for _ in range(5):
        began_ns = time.perf_counter_ns()
        slices.put(read_slice(document("s0", *ready), hostnames=False))
        found = endpoints_of(
            slices.hosts(), service=SERVICE, ports=(4317,), hostnames=False
        )
        times_ns.append(time.perf_counter_ns() - began_ns)
        assert len(found) == 1199
    assert min(times_ns) < 20_000_000
