"""The demo's layout gives every process its own ports and the right YAML."""

from __future__ import annotations

from tailring_cli.demo.layout import plan_layout, router_yaml, sampler_yaml


def test_no_two_listeners_share_a_port() -> None:
    """All ports of a layout are different."""
    layout = plan_layout(routers=2, samplers=3, decision_wait_s=3)
    ports = [layout.sink_port]
    for router in layout.routers:
        ports += [router.grpc_port, router.http_port]
        ports += [router.metrics_port, router.health_port]
    for sampler in layout.samplers:
        ports += [sampler.grpc_port, sampler.metrics_port, sampler.health_port]
    assert len(ports) == 2 * 4 + 3 * 3 + 1
    assert len(set(ports)) == len(ports)


def test_every_router_knows_every_sampler() -> None:
    """Each router's static list is the samplers' receivers, in the same order."""
    layout = plan_layout(routers=2, samplers=3, decision_wait_s=3)
    lists = [
        router_yaml(layout, it)["exporters"]["load_balancing"]["resolver"]["static"]
        for it in layout.routers
    ]
    endpoints = [
        sampler_yaml(layout, it)["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
        for it in layout.samplers
    ]
    assert lists == [{"hostnames": endpoints}] * 2


def test_samplers_send_what_they_keep_to_the_sink() -> None:
    """Each sampler's exporter is the sink."""
    layout = plan_layout(routers=1, samplers=2, decision_wait_s=3)
    for sampler in layout.samplers:
        exporter = sampler_yaml(layout, sampler)["exporters"]["otlp"]
        assert exporter["endpoint"] == f"127.0.0.1:{layout.sink_port}"
