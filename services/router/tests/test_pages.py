"""The debug pages of the router: rings, owners, backends."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from services.router.tests.rig import BATCH, SPANS, UNREACHABLE

from tailring_pipeline import RetryConfig
from tailring_resolvers import Endpoint
from tailring_router.backend_state import BackendState, quantile_ms
from tailring_router.client import ForwarderSettings
from tailring_router.fleet import Fleet, FleetSettings
from tailring_router.metrics import RouterMetrics
from tailring_router.pages import add_router_pages
from tailring_router.part import now_ns
from tailring_router.topology import Topology
from tailring_runtime.metrics import Histogram, Metrics
from tailring_runtime.pages import BadQuery, Page, Pages
from tailring_testkit.client import ScriptedClient

# Ring vector of upstream's generation 3.
ENDPOINTS = tuple(Endpoint(f"10.0.0.{n}:4317", f"10.0.0.{n}:4317") for n in (1, 2, 3))
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
OWNER = "10.0.0.3:4317"


class Balancer:
    """One exporter as the pages see it."""

    title = "load_balancing (traces)"

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet

    @property
    def topology(self) -> Topology:
        """The ring of now."""
        return self.fleet.topology

    def states(self) -> list[BackendState]:
        """The backends of now."""
        return self.fleet.states()


@pytest.fixture
async def fleet(client: ScriptedClient, metrics: Metrics) -> AsyncIterator[Fleet]:
    """A fleet of three backends, none of which is tried twice."""
    retry = RetryConfig.model_validate({"enabled": False})
    made = Fleet(
        FleetSettings(forwarder=ForwarderSettings(retry=retry)),
        connect=lambda _: client,
        metrics=RouterMetrics(metrics, "lb"),
    )
    made.update(ENDPOINTS)
    yield made
    await made.close()


def page(fleet: Fleet, name: str, **query: str) -> Page:
    """One page of a router with this fleet."""
    pages = Pages()
    add_router_pages(pages, lambda: [Balancer(fleet)])
    return pages.page(name, query)


async def test_ringz_has_every_member_and_its_share(fleet: Fleet) -> None:
    """The shares of the ring add up, and its digest is that of the ring."""
    facts, members = page(fleet, "ringz").tables
    assert ("digest", fleet.topology.digest) in facts.rows
    assert [row[:2] for row in members.rows] == [
        (one.ring_name, one.address) for one in ENDPOINTS
    ]
    shares = [row[2] for row in members.rows]
    assert sum(share for share in shares if isinstance(share, float)) == pytest.approx(
        1
    )


@pytest.mark.parametrize("query", [{"trace_id": TRACE_ID}, {"key": "checkout"}])
async def test_ringz_tells_the_owner_of_a_key(
    fleet: Fleet, query: dict[str, str]
) -> None:
    """A trace id is looked up by its bytes, any other key by its text."""
    found = page(fleet, "ringz", **query).facts["load_balancing (traces): owner"]
    key = bytes.fromhex(TRACE_ID) if "trace_id" in query else b"checkout"
    assert found == fleet.topology.ring.owner(key)
    if "trace_id" in query:
        assert found == OWNER


async def test_an_owner_is_not_made_up(fleet: Fleet) -> None:
    """Without backends nobody owns a key."""
    fleet.update(())
    found = page(fleet, "ringz", trace_id=TRACE_ID).facts
    assert found == {
        "load_balancing (traces): owner": "nobody: there is no backend",
    }


@pytest.mark.parametrize("text", ["", "4bf9", "z" * 32, TRACE_ID + "00"])
async def test_a_trace_id_that_is_none_is_refused(fleet: Fleet, text: str) -> None:
    """What is not 16 bytes in hex is told as that."""
    with pytest.raises(BadQuery, match="32 hex digits"):
        page(fleet, "ringz", trace_id=text)


async def test_backendz_tells_what_a_backend_answered(
    fleet: Fleet, client: ScriptedClient
) -> None:
    """A failure is shown with its words and its age, and the backend as suspected."""
    client.answer = UNREACHABLE
    parts = fleet.dispatch(BATCH.payload, now_ns=now_ns())
    for part in parts:
        await part.result
    rows = page(fleet, "backendz").tables[0].as_json()["rows"]
    assert isinstance(rows, list)
    tried = {row["address"]: row for row in rows if row["last_failure"]}
    assert set(tried) == {part.address for part in parts}
    for row in tried.values():
        assert row["state"] == "suspected"
        assert row["last_failure"].startswith("unreachable: ")
        assert row["last_failure_age_s"] >= 0
    assert sum(row["items_send_failed"] for row in rows) == SPANS


def test_a_quantile_is_the_bound_of_its_bucket() -> None:
    """Answers are known by their buckets; without any the quantile is 0."""
    latency = Histogram((5.0, 10.0, 5000.0))
    empty = quantile_ms(latency, 0.5)
    for took_ms, times in ((3, 98), (7, 1), (60_000, 1)):
        latency.observe(took_ms, times)
    found = [quantile_ms(latency, share) for share in (0.5, 0.99, 1.0)]
    assert [empty, *found] == [0.0, 5.0, 10.0, 5000.0]
