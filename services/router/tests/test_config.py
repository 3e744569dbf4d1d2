"""The exporter's block: upstream's keys, defaults and words."""

from typing import Any

import pytest
from pydantic import ValidationError

from tailring_pipeline import Signal
from tailring_router.config import LoadBalancingConfig

_CONSUMERS = "sending_queue.num_consumers"
STATIC = {"static": {"hostnames": ["a", "b"]}}


def _read(**keys: Any) -> LoadBalancingConfig:
    return LoadBalancingConfig.model_validate({"resolver": STATIC, **keys})


def _problems(**keys: Any) -> str:
    with pytest.raises(ValidationError) as error:
        _read(**keys)
    return str(error.value)


def test_defaults_are_upstreams() -> None:
    """Level 1 is off, level 2 is on, and the ring is of generation 3."""
    config = _read()
    assert config.level1_queue is None
    assert not config.retry_on_failure.enabled
    assert config.protocol.otlp.sending_queue.enabled
    assert config.protocol.otlp.retry_on_failure.enabled
    assert config.ring_generation == 3


@pytest.mark.parametrize("written", [None, {}, {"enabled": True}])
@pytest.mark.parametrize("key", ["queue", "sending_queue"])
def test_any_form_of_the_key_switches_level_1_on(key: str, written: object) -> None:
    """`queue:` with nothing, with {} and with enabled: true is a queue that
    acknowledges at once."""
    queue = _read(**{key: written}).level1_queue
    assert queue is not None
    assert queue.acknowledges_early


def test_a_disabled_level_1_queue_is_none() -> None:
    """`enabled: false` is the same as leaving the key out."""
    assert _read(sending_queue={"enabled": False}).level1_queue is None


def test_only_a_written_queue_acknowledges_early() -> None:
    """The default level-2 queue waits for the delivery, a written one does not."""
    assert not _read().protocol.otlp.sending_queue.acknowledges_early
    written = {"otlp": {"sending_queue": {"enabled": True}}}
    assert _read(protocol=written).protocol.otlp.sending_queue.acknowledges_early


def test_retry_of_level_1_gets_the_usual_times() -> None:
    """`retry_on_failure: {enabled: true}` alone is 5s, 30s, 300s and not zeros."""
    retry = _read(retry_on_failure={"enabled": True}).retry_on_failure
    times = (retry.initial_interval, retry.max_interval, retry.max_elapsed_time)
    assert times == (5_000_000_000, 30_000_000_000, 300_000_000_000)


# Upstream's table: which key a signal may be routed by.
ALLOWED = {
    Signal.TRACES: {"", "traceID", "service", "attributes"},
    Signal.LOGS: {"", "traceID", "service", "attributes", "resource"},
    Signal.METRICS: {"", "service", "attributes", "resource", "metric", "streamID"},
}
KEYS = sorted({*ALLOWED[Signal.METRICS], "traceID", "traceid", "Service"})


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("signal", Signal)
def test_a_signal_has_its_routing_keys(signal: Signal, key: str) -> None:
    """Each signal is routed by the keys that upstream has for it, in any case exactly
    as written; others do not fit, and that is said in upstream's words."""
    attributes = ["a"] if key == "attributes" else []
    config = _read(routing_key=key, routing_attributes=attributes)
    told = list(config.unfit(signal.value))
    if key in ALLOWED[signal]:
        assert not told
        return
    written = key if signal is Signal.TRACES else f'"{key}"'
    where = f"cannot configure loadbalancing {signal.value} exporter"
    ((path, message),) = told
    assert path == "routing_key"
    assert message.startswith(f"{where}: unsupported routing_key: {written};")


def test_each_signal_has_its_default_key() -> None:
    """Traces go by trace id; logs and metrics by service."""
    keys = {signal: _read().rule_for(signal).key for signal in Signal}
    assert keys == {
        Signal.TRACES: "traceID",
        Signal.LOGS: "service",
        Signal.METRICS: "service",
    }
    assert _read(routing_key="resource").rule_for(Signal.LOGS).key == "resource"


def test_routing_by_attributes_needs_attributes() -> None:
    """The words are upstream's; one text is a list of one."""
    none = 'routing_attributes must be specified when routing_key is "attributes"'
    assert none in _problems(routing_key="attributes")
    one = _read(routing_key="attributes", routing_attributes="k8s.pod.name")
    assert one.routing_attributes == ("k8s.pod.name",)


@pytest.mark.parametrize("key", ["", "service"])
def test_attributes_without_their_key_are_refused(key: str) -> None:
    """The words are upstream's."""
    said = _problems(routing_key=key, routing_attributes=["a"])
    assert (
        'routing_attributes can only be used when routing_key is "attributes"; got'
        f' "{key}". Remove routing_attributes or set routing_key to "attributes"'
    ) in said


def test_no_resolver_and_two_resolvers_are_refused() -> None:
    """The words are upstream's."""
    dns = {"dns": {"hostname": "x"}}
    for none in (_problems(resolver={}), _problems(resolver=None)):
        assert "no resolvers specified for the exporter" in none
    with pytest.raises(ValidationError, match="no resolvers specified"):
        LoadBalancingConfig.model_validate({})
    both = _problems(resolver={**STATIC, **dns})
    assert "only one resolver should be specified" in both


def test_ring_generation_may_come_from_the_environment() -> None:
    """A generation is a whole number, 1 to 3."""
    assert _read(ring_generation=2).ring_generation == 2
    assert "1, 2 or 3" in _problems(ring_generation=4)
    assert "a whole number" in _problems(ring_generation="3")


def test_a_dns_name_without_a_port_is_worth_a_warning() -> None:
    """The ring of bare addresses differs from that of addresses with ports."""
    bare = LoadBalancingConfig.model_validate({"resolver": {"dns": {"hostname": "x"}}})
    assert any("bare addresses" in advice for advice in bare.advice())
    service = {"resolver": {"dns": {"hostname": "_otlp._tcp.x"}}}
    assert list(LoadBalancingConfig.model_validate(service).advice()) == []
    assert list(_read().advice()) == []


def _idle_keys(level1: object, level2: dict[str, Any]) -> list[str]:
    keys = {} if level1 is None else {"sending_queue": level1}
    config = _read(protocol={"otlp": {"sending_queue": level2}}, **keys)
    return [one.split()[0] for one in config.advice() if "has no effect" in one]


@pytest.mark.parametrize(
    ("level1", "level2", "idle"),
    [
        (None, {"queue_size": 5, "block_on_overflow": True}, []),
        ({}, {}, []),
        ({"enabled": False, "num_consumers": 5}, {"queue_size": 5}, []),
        ({"wait_for_result": True}, {"queue_size": 5, "block_on_overflow": True}, []),
        (
            {},
            {"queue_size": 5, "block_on_overflow": False, "sizer": "items"},
            [
                "protocol.otlp.sending_queue.queue_size",
                "protocol.otlp.sending_queue.block_on_overflow",
            ],
        ),
        ({"num_consumers": 10}, {}, [_CONSUMERS]),
        ({"num_consumers": 10, "queue_size": 5}, {}, []),
        (
            {"num_consumers": 4096, "sizer": "items"},
            {},
            [_CONSUMERS],
        ),
        ({"num_consumers": 4097, "sizer": "bytes"}, {}, []),
        ({"num_consumers": 9, "storage": "file_storage"}, {}, [_CONSUMERS]),
    ],
)
def test_keys_of_queues_without_effect_are_worth_a_warning(
    level1: object, level2: dict[str, Any], idle: list[str]
) -> None:
    """Behind a queue that acknowledges level 2 has no bound of its own, and level 1 has
    no few consumers: whoever writes them is told."""
    assert _idle_keys(level1, level2) == idle


def test_a_queue_without_retry_is_worth_a_warning() -> None:
    """Level 1 that never retries drops what level 2 gave up."""
    assert any("dropped" in advice for advice in _read(queue={}).advice())


@pytest.mark.parametrize(
    ("hostnames", "warned"),
    [
        (["sampler:4317"], True),
        (["sampler-0:4317", "sampler-1:4317"], False),
        (["10.0.0.1:4317"], False),
        (["localhost:4317"], False),
    ],
)
def test_one_name_as_the_whole_list_is_worth_a_warning(
    hostnames: list[str], warned: bool
) -> None:
    """A single name is often that of all samplers together, which no ring can use."""
    config = _read(resolver={"static": {"hostnames": hostnames}})
    assert any("lists one name" in one for one in config.advice()) is warned
