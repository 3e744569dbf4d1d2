"""The seam between stages and the stages that every pipeline shares."""

from tailring_pipeline.backoff import (
    Backoff,
    RetryConfig,
    TopLevelRetryConfig,
)
from tailring_pipeline.batch import BatchProcessor, BatchSettings, BatchStatistics
from tailring_pipeline.batch_answers import deliver_pieces
from tailring_pipeline.batch_config import BatchConfig
from tailring_pipeline.consumer import Batch, Consumer, Refused, Rejected, Signal, Stage
from tailring_pipeline.cutting import cut_batch
from tailring_pipeline.debug import DebugExporter
from tailring_pipeline.debug_config import DebugConfig
from tailring_pipeline.disk_settings import DiskSettings
from tailring_pipeline.disk_store import DiskStore
from tailring_pipeline.doors import Door
from tailring_pipeline.errors import (
    Closed,
    Empty,
    Full,
    QueueError,
    StorageInUse,
    TooLarge,
    Unwritable,
)
from tailring_pipeline.exporter_metrics import ExporterMetrics
from tailring_pipeline.failure_log import FailureLog
from tailring_pipeline.fan_out import FanOut, branches_of, fan_out
from tailring_pipeline.file_storage import FileStorage, Worker, file_storage_of
from tailring_pipeline.file_storage_config import FILE_STORAGE, FileStorageConfig
from tailring_pipeline.halving import SPLIT_REASONS, Halving, is_suspect
from tailring_pipeline.memory import memory_total_bytes
from tailring_pipeline.memory_limiter import MemoryLimiter, MemorySettings
from tailring_pipeline.memory_limiter_config import MemoryLimiterConfig
from tailring_pipeline.nop import NopConfig, NopExporter
from tailring_pipeline.on_behalf import OnBehalf, OneSender
from tailring_pipeline.outcome import Outcome, delivery_of
from tailring_pipeline.per_signal import ITEMS, KINDS, PerSignal, per_signal
from tailring_pipeline.processor_metrics import ProcessorMetrics
from tailring_pipeline.queue import BoundedQueue, QueueStatistics, Ticket
from tailring_pipeline.queue_batch_config import QueueBatchConfig
from tailring_pipeline.queue_config import (
    QueueConfig,
    Sizer,
    TopLevelQueueConfig,
)
from tailring_pipeline.retry import HURRIED_WAIT_MAX_S, Retry
from tailring_pipeline.sending_queue import SendingQueue, SendingStatistics
from tailring_pipeline.storage_metrics import StorageMetrics
from tailring_pipeline.store import Entry, MemoryStore, Room, Store
from tailring_pipeline.wakeups import Wakeups

__all__ = [
    "FILE_STORAGE",
    "HURRIED_WAIT_MAX_S",
    "ITEMS",
    "KINDS",
    "SPLIT_REASONS",
    "Backoff",
    "Batch",
    "BatchConfig",
    "BatchProcessor",
    "BatchSettings",
    "BatchStatistics",
    "BoundedQueue",
    "Closed",
    "Consumer",
    "DebugConfig",
    "DebugExporter",
    "DiskSettings",
    "DiskStore",
    "Door",
    "Empty",
    "Entry",
    "ExporterMetrics",
    "FailureLog",
    "FanOut",
    "FileStorage",
    "FileStorageConfig",
    "Full",
    "Halving",
    "MemoryLimiter",
    "MemoryLimiterConfig",
    "MemorySettings",
    "MemoryStore",
    "NopConfig",
    "NopExporter",
    "OnBehalf",
    "OneSender",
    "Outcome",
    "PerSignal",
    "ProcessorMetrics",
    "QueueBatchConfig",
    "QueueConfig",
    "QueueError",
    "QueueStatistics",
    "Refused",
    "Rejected",
    "Retry",
    "RetryConfig",
    "Room",
    "SendingQueue",
    "SendingStatistics",
    "Signal",
    "Sizer",
    "Stage",
    "StorageInUse",
    "StorageMetrics",
    "Store",
    "Ticket",
    "TooLarge",
    "TopLevelQueueConfig",
    "TopLevelRetryConfig",
    "Unwritable",
    "Wakeups",
    "Worker",
    "branches_of",
    "cut_batch",
    "deliver_pieces",
    "delivery_of",
    "fan_out",
    "file_storage_of",
    "is_suspect",
    "memory_total_bytes",
    "per_signal",
]
