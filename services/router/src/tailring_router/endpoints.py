"""What a router of a configuration listens on, for whoever shares it among workers."""

from __future__ import annotations

from tailring_otlpio import OtlpReceiverConfig
from tailring_runtime.config import CollectorConfig

__all__ = ["endpoints"]


def endpoints(config: CollectorConfig) -> dict[str, str]:
    """The address of each server that a pipeline uses, by the path of its key.

    A unix socket is the path of a file, which is no address.
    """
    used = {
        component
        for pipeline in config.service.pipelines.values()
        for component in pipeline.receivers
    }
    found: dict[str, str] = {}
    for component in config.receivers:
        model = config.receivers[component]
        if component not in used or not isinstance(model, OtlpReceiverConfig):
            continue
        for name, server in (("grpc", model.grpc), ("http", model.http)):
            if server is not None:
                path = f"receivers::{component}::protocols::{name}::endpoint"
                found[path] = server.endpoint
    return found
