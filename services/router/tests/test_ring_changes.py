"""Two routers that disagree can be told apart by digest, gauge and log."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from tailring_pipeline import RetryConfig
from tailring_resolvers import Endpoint
from tailring_router.client import ForwarderSettings
from tailring_router.fleet import Fleet, FleetSettings
from tailring_router.metrics import RouterMetrics
from tailring_router.ring_changes import ring_changed, ring_hash
from tailring_router.topology import EMPTY, Topology, build_topology
from tailring_runtime.metrics import Metrics
from tailring_testkit.client import ScriptedClient

NAME = "tailring_router_ring_hash"


def topology_of(*names: str, generation: int = 3) -> Topology:
    """A ring of these names, each at an address of its own."""
    endpoints = [Endpoint(name, f"{name}:1") for name in names]
    return build_topology(endpoints, generation=generation)


def told(*names: str, metrics: Metrics, generation: int = 3) -> float:
    """What the gauge of a router says that has just learned these backends."""
    after = topology_of(*names, generation=generation)
    ring_changed(EMPTY, after, metrics=RouterMetrics(metrics, "lb"))
    return metrics.value(NAME, exporter="lb")


def test_routers_with_one_list_show_one_value() -> None:
    """The order in which a router learned its backends does not matter."""
    one, two = Metrics(), Metrics()
    assert told("a", "b", "c", metrics=one) == told("c", "a", "b", metrics=two) != 0


@pytest.mark.parametrize(
    ("names", "generation"), [(("a", "b"), 3), (("a", "b", "d"), 3), (("a:1",), 3)]
)
def test_routers_with_other_lists_show_other_values(
    names: tuple[str, ...], generation: int
) -> None:
    """A member more, less, or with a port, and another generation, all show."""
    three = told("a", "b", "c", metrics=Metrics())
    assert told(*names, metrics=Metrics(), generation=generation) != three
    assert told("a", "b", "c", metrics=Metrics(), generation=2) != three


def test_a_name_that_is_listed_twice_shows_where_it_counts() -> None:
    """Twice the points are another ring, but generation 1 knows each name once."""
    for generation, same in ((1, True), (2, False), (3, False)):
        once = topology_of("a", "b", generation=generation).digest
        twice = topology_of("a", "b", "b", generation=generation).digest
        assert (once == twice) is same


def test_the_value_is_the_beginning_of_the_digest() -> None:
    """A float holds it exactly, and without backends it is 0."""
    topology = topology_of("a", "b")
    assert float(ring_hash(topology)) == ring_hash(topology)
    assert f"{ring_hash(topology):012x}" == topology.digest[:12]
    assert ring_hash(EMPTY) == 0


def test_a_change_is_logged_with_all_that_tells_rings_apart() -> None:
    """Digest, generation, members, and who came and went."""
    before, after = topology_of("a", "b"), topology_of("b", "c")
    with capture_logs() as logs:
        ring_changed(before, after, metrics=RouterMetrics(Metrics(), "lb"))
    assert logs == [
        {
            "event": "the ring of backends changed",
            "log_level": "info",
            "exporter": "lb",
            "digest": after.digest,
            "generation": 3,
            "backends": 2,
            "members": ["b", "c"],
            "added": ["c"],
            "removed": ["a"],
        }
    ]


async def test_the_fleet_shows_the_ring_that_it_uses() -> None:
    """Each list that a fleet takes is in the gauge, and the same list again is no
    change."""
    metrics = Metrics()
    fleet = Fleet(
        FleetSettings(forwarder=ForwarderSettings(retry=RetryConfig(enabled=False))),
        connect=lambda _: ScriptedClient(),
        metrics=RouterMetrics(metrics, "lb"),
    )
    with capture_logs() as logs:
        for names in (("a", "b"), ("b", "a"), ("a", "c")):
            fleet.update(tuple(Endpoint(name, f"{name}:1") for name in names))
            assert metrics.value(NAME, exporter="lb") == ring_hash(fleet.topology) != 0
    told = [one for one in logs if one["event"] == "the ring of backends changed"]
    assert [one["members"] for one in told] == [["a", "b"], ["a", "c"]]
    await fleet.close()


def test_a_large_ring_is_not_written_out() -> None:
    """A line names 20 members and counts the others."""
    after = topology_of(*(f"b{n:03}" for n in range(300)))
    with capture_logs() as logs:
        ring_changed(EMPTY, after, metrics=RouterMetrics(Metrics(), "lb"))
    assert logs[0]["backends"] == 300
    assert logs[0]["members"][-2:] == ["b019", "and 280 more"]
