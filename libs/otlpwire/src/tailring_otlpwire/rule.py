"""By what items are routed: a kind of requests, a key, and the attributes it names."""

from collections.abc import Sequence
from typing import Final

from mypy_extensions import mypyc_attr

from tailring_otlpwire.kinds import LOGS, METRICS, TRACES, check_kind

TRACE_ID: Final = "traceID"
SERVICE: Final = "service"
ATTRIBUTES: Final = "attributes"
RESOURCE: Final = "resource"
METRIC: Final = "metric"
STREAM_ID: Final = "streamID"

_KEYS: Final[dict[int, tuple[str, ...]]] = {
    TRACES: (TRACE_ID, SERVICE, ATTRIBUTES),
    LOGS: (SERVICE, TRACE_ID, ATTRIBUTES, RESOURCE),
    METRICS: (SERVICE, ATTRIBUTES, RESOURCE, METRIC, STREAM_ID),
}


@mypyc_attr(acyclic=True)
class RoutingRule:
    """A routing key as upstream names it, for one kind; "" is the kind's default.

    Traces go by `traceID`, logs and metrics by `service`, unless said otherwise. Raises
    ValueError with upstream's words for a key that the kind does not have, and for
    attributes that are missing or have no use. Made once, used for many requests.
    """

    def __init__(self, kind: int, key: str, attributes: Sequence[str] = ()) -> None:
        check_kind(kind)
        keys = _KEYS[kind]
        if key and key not in keys:
            named = key if kind == TRACES else f'"{key}"'
            raise ValueError(f"unsupported routing_key: {named}")
        if key == ATTRIBUTES and not attributes:
            raise ValueError(
                'routing_attributes must be specified when routing_key is "attributes"'
            )
        if key != ATTRIBUTES and attributes:
            raise ValueError(
                'routing_attributes can only be used when routing_key is "attributes"; '
                f'got "{key}". Remove routing_attributes or set routing_key to '
                '"attributes"'
            )
        self.kind = kind
        self.key = key or keys[0]
        self.attributes = tuple(attributes)
        self.names = [name.encode() for name in attributes]
        if kind == TRACES and key == SERVICE:
            self.names = [b"service.name"]
