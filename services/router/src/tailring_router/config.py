"""``exporters.loadbalancing`` as an operator writes it.

Keys, defaults and error texts are upstream's (contrib v0.161.0, loadbalancingexporter);
what differs is said at the key and in docs/compatibility.md. ``ring_generation`` is
ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, TypeAdapter, field_validator, model_validator

from tailring_otlpio import OtlpExporterConfig
from tailring_otlpwire import RoutingRule
from tailring_pipeline import (
    KINDS,
    QueueConfig,
    Signal,
    TopLevelQueueConfig,
    TopLevelRetryConfig,
)
from tailring_resolvers import ResolverConfig, backend_names
from tailring_router.partition import BY_TRACE
from tailring_runtime.config import (
    NULL_IS_EMPTY,
    Bool,
    ConfigModel,
    Duration,
    Int,
    Text,
    TextList,
    rule,
)

__all__ = ["ROUTING_KEYS", "BackendConfig", "LoadBalancingConfig", "ProtocolConfig"]

# Deliveries at once of a level-1 queue that is on disk or bounded in items or bytes.
CONSUMERS_MIN: Final = 4096
_GENERATION: Final[TypeAdapter[int]] = TypeAdapter(Int)
# What each signal may be routed by, the default first; upstream's words for the rest.
ROUTING_KEYS: Final[Mapping[Signal, tuple[str, ...]]] = MappingProxyType(
    {
        Signal.TRACES: ("traceID", "service", "attributes"),
        Signal.LOGS: ("service", "traceID", "attributes", "resource"),
        Signal.METRICS: ("service", "attributes", "resource", "metric", "streamID"),
    }
)


class BackendQueueConfig(QueueConfig):
    """``protocol.otlp.sending_queue``: one queue a backend, in memory."""

    enabled: Bool = Field(
        default=True,
        description="Written as `true` it also acknowledges as soon as a batch is"
        " queued, if there is no level-1 queue; unwritten, callers wait for the"
        " delivery. Off: no bound but that of 64 MiB a backend.",
    )
    num_consumers: Int = Field(
        default=10, description="How many requests to one backend are under way."
    )
    queue_size: Int = Field(
        default=1000,
        description="How much waits for one backend, in `sizer`s; whatever it says, at"
        " most 64 MiB (or as many bytes as are written) and 1 GiB for all backends of a"
        " signal. Without effect behind a level-1 queue that acknowledges, which is the"
        " bound then.",
    )
    block_on_overflow: Bool = Field(
        default=False,
        description="A full queue lets its callers wait instead of refusing them."
        " Without effect behind a level-1 queue that acknowledges.",
    )

    refused: ClassVar[Mapping[str, str]] = {
        "storage": (
            "backends come and go, and a queue on disk for each would be left behind"
            " (upstream's does not work at all, its issue 16826); write it into the"
            " sending_queue of the load balancer itself, where requests are kept before"
            " they are routed"
        ),
    }

    @rule
    def _cut_by_bytes(self) -> Iterator[str]:
        batch = self.batches
        if batch is not None and batch.sizer == "items" and batch.max_size:
            yield (
                "batch: `max_size` counts bytes here, where requests to a backend are"
                " joined and cut by their size; write sizer: bytes with it"
            )


class BackendConfig(OtlpExporterConfig):
    """``protocol.otlp``: the template of the connection to each backend."""

    sending_queue: BackendQueueConfig = BackendQueueConfig()

    endpoint: Text = Field(
        default="placeholder:4317",
        description="Not used, but checked, as upstream: every backend has its own.",
    )


class RoutingQueueConfig(TopLevelQueueConfig):
    """``sending_queue`` of the load balancer itself: requests before they are routed.

    A request is in the queue until all of its parts are delivered. With few consumers a
    backend that is away would soon have a part in the hands of each, and nothing would
    get to the others. A queue on disk bounds by itself what is in memory.
    """

    enabled: Bool = Field(
        default=True,
        description="Off: as if the key were not there. On in any form of the key: a"
        " request is acknowledged as soon as it is queued, unless `wait_for_result`.",
    )
    num_consumers: Int = Field(
        default=10,
        description="How many requests are delivered at once, and never fewer than"
        " `queue_size` (4096 where that counts items or bytes, or with `storage`), so"
        " that one backend that is away holds up no others.",
    )

    @property
    def consumers_min(self) -> int:
        """How many deliveries run at once, however few the file wants."""
        if self.sizer == "requests" and self.storage is None:
            return self.queue_size
        return CONSUMERS_MIN


class ProtocolConfig(ConfigModel):
    """``protocol``: otlp is the only one."""

    otlp: BackendConfig = BackendConfig()


class LoadBalancingConfig(ConfigModel):
    """``exporters.loadbalancing`` / ``exporters.load_balancing``."""

    spellings: ClassVar[Mapping[str, str]] = {"queue": "sending_queue"}

    routing_key: Text = Field(
        default="",
        description="What the backend of an item is chosen by. Traces: traceID (the"
        " default), service, attributes. Logs: service (the default), traceID,"
        " attributes, resource. Metrics: service (the default), attributes, resource,"
        " metric, streamID.",
    )
    routing_attributes: TextList = Field(
        default=(),
        description="What `routing_key: attributes` reads, in this order: attributes of"
        " the resource, the scope or the item; of traces also span.name and span.kind,"
        " of logs log.severity and log.body.",
    )
    resolver: ResolverConfig = Field(
        description="Who the backends are: exactly one of its four keys."
    )
    protocol: ProtocolConfig = ProtocolConfig()
    timeout: Duration = Field(
        default=0,
        ge=0,
        description="No retry of a part at its backend begins later than this after"
        " it was given to it. 0: only protocol.otlp's own limits.",
    )
    retry_on_failure: TopLevelRetryConfig = Field(
        default=TopLevelRetryConfig(),
        description="Level 1: route again what a backend did not take, on the ring"
        " of that moment. Only parts that failed are sent again.",
    )
    sending_queue: Annotated[RoutingQueueConfig | None, NULL_IS_EMPTY] = Field(
        default=None,
        description="Level 1: a queue of requests that are not routed yet. Off unless"
        " the key is there.",
    )
    ring_generation: Literal[1, 2, 3] = Field(
        default=3,
        description="Which of upstream's rings: 1 before mid-2025, 2 to v0.156,"
        " 3 since v0.157. All routers of a fleet need the same.",
    )

    @model_validator(mode="before")
    @classmethod
    def _some_resolver(cls, data: Any) -> Any:
        # Upstream's words for a missing block are those for an empty one.
        if isinstance(data, Mapping) and data.get("resolver") is None:
            return {**data, "resolver": {}}
        return data

    @field_validator("ring_generation", mode="before")
    @classmethod
    def _whole(cls, value: object) -> object:
        return _GENERATION.validate_python(value)

    @rule
    def _attributes_for_their_key(self) -> Iterator[str]:
        if self.routing_key == "attributes" and not self.routing_attributes:
            yield (
                'routing_attributes must be specified when routing_key is "attributes"'
            )
        if self.routing_key != "attributes" and self.routing_attributes:
            yield (
                "routing_attributes can only be used when routing_key is"
                f' "attributes"; got "{self.routing_key}". Remove routing_attributes or'
                ' set routing_key to "attributes"'
            )

    def unfit(self, signal: str) -> Iterable[tuple[str, str]]:
        """A key that upstream has not for this signal."""
        keys = ROUTING_KEYS[Signal(signal)]
        key = self.routing_key
        if key and key not in keys:
            # As upstream: in quotes, but not for traces.
            written = key if signal == Signal.TRACES.value else f'"{key}"'
            yield (
                "routing_key",
                f"cannot configure loadbalancing {signal} exporter: unsupported"
                f" routing_key: {written}; for {signal} it may be {', '.join(keys)}",
            )

    def rule_for(self, signal: Signal) -> RoutingRule:
        """What a signal is routed by; the key fits it (`unfit`)."""
        key = self.routing_key or ROUTING_KEYS[signal][0]
        if signal is Signal.TRACES and key == BY_TRACE.key:
            return BY_TRACE
        return RoutingRule(KINDS[signal], key, self.routing_attributes)

    @property
    def level1_queue(self) -> RoutingQueueConfig | None:
        """The queue in front of routing; None when it is off."""
        queue = self.sending_queue
        return queue if queue is not None and queue.enabled else None

    def advice(self) -> Iterable[str]:
        """What is valid and still likely a mistake."""
        listed = self.resolver.static.hostnames if self.resolver.static else ()
        if len(listed) == 1 and backend_names(listed):
            yield (
                f"resolver.static lists one name, {listed[0]}: if it stands for several"
                " addresses, the spans of each trace are spread over all of them; use"
                " resolver.dns"
            )
        dns = self.resolver.dns
        if self.level1_queue is not None and not self.retry_on_failure.enabled:
            yield (
                "sending_queue is on and retry_on_failure is off: a request that every"
                " backend's own retries gave up is dropped"
            )
        yield from self._idle_queue_keys()
        bare = dns is not None and not dns.port and not dns.of_services
        if bare and self.ring_generation == 3:
            yield (
                "resolver.dns has no port: the ring is that of bare addresses; routers"
                " that write one route differently"
            )

    def _idle_queue_keys(self) -> Iterable[str]:
        """Keys of queues that are written and change nothing."""
        level1 = self.level1_queue
        if level1 is None:
            return
        wanted, least = level1.num_consumers, level1.consumers_min
        if "num_consumers" in level1.model_fields_set and wanted <= least:
            yield (
                f"sending_queue.num_consumers has no effect: up to {least} requests are"
                " delivered at once, so that a backend that is away holds up no others"
            )
        written = self.protocol.otlp.sending_queue.model_fields_set
        if not level1.acknowledges_early:
            return
        for key in ("queue_size", "block_on_overflow"):
            if key in written:
                yield (
                    f"protocol.otlp.sending_queue.{key} has no effect: sending_queue"
                    " has acknowledged what waits for a backend, and is its bound"
                )
