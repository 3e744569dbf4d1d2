"""The seam between stages and the stages that every pipeline shares."""

from tailring_pipeline.backoff import (
    Backoff,
    RetryConfig,
    TopLevelRetryConfig,
)
from tailring_pipeline.consumer import Batch, Consumer, Refused, Rejected, Signal, Stage
from tailring_pipeline.doors import Door
from tailring_pipeline.errors import Closed, Empty, Full, QueueError, TooLarge
from tailring_pipeline.exporter_metrics import ExporterMetrics
from tailring_pipeline.queue import BoundedQueue, QueueStatistics, Ticket
from tailring_pipeline.queue_config import QueueConfig, TopLevelQueue

__all__ = [
    "Backoff",
    "Batch",
    "BoundedQueue",
    "Closed",
    "Consumer",
    "Door",
    "Empty",
    "ExporterMetrics",
    "Full",
    "QueueConfig",
    "QueueError",
    "QueueStatistics",
    "Refused",
    "Rejected",
    "RetryConfig",
    "Signal",
    "Stage",
    "Ticket",
    "TooLarge",
    "TopLevelQueue",
    "TopLevelRetryConfig",
]
