"""``sending_queue`` as an operator writes it, at both places where it can stand.

In an exporter the queue is on by default (`QueueConfig`); at the top level of
``loadbalancing`` it is off when the key is absent and on when it is there in any form
but ``enabled: false`` (`TopLevelQueueConfig`, or None).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tailring_pipeline.queue_batch_config import QueueBatchConfig
from tailring_runtime.config import (
    NULL_IS_EMPTY,
    Bool,
    ConfigModel,
    Int,
    StorageExtension,
    rule,
)

__all__ = ["QueueConfig", "Sizer", "TopLevelQueueConfig"]

Sizer = Literal["requests", "items", "bytes"]


class QueueConfig(ConfigModel):
    """The bounded queue in front of a destination."""

    enabled: Bool = Field(
        default=True,
        description="Written as `true` it also acknowledges as soon as a batch is"
        " queued; unwritten, callers wait for the delivery. Off: no bound.",
    )
    num_consumers: Int = Field(
        default=10, description="How many deliveries run at once."
    )
    queue_size: Int = Field(
        default=1000,
        description="How much is held, deliveries in flight included, in `sizer`s.",
    )
    sizer: Sizer = Field(default="requests", description="What `queue_size` counts.")
    block_on_overflow: Bool = Field(
        default=False,
        description="A full queue lets its callers wait instead of refusing them.",
    )
    wait_for_result: Bool = Field(
        default=False,
        description="Never acknowledge before the destination did.",
    )
    storage: StorageExtension = Field(
        default=None,
        description="The extension that keeps the queue on disk. Requests are"
        " acknowledged when they are written there, and survive the process.",
    )

    batch: Annotated[QueueBatchConfig | None, NULL_IS_EMPTY] = Field(
        default=None, description="On when the key is there: joins what leaves."
    )

    @model_validator(mode="before")
    @classmethod
    def _same_sizer(cls, data: Any) -> Any:
        """As upstream: a written sizer is that of batches of which something is
        written as well."""
        if not isinstance(data, Mapping) or "sizer" not in data:
            return data
        batch = data.get("batch")
        if isinstance(batch, Mapping) and batch and "sizer" not in batch:
            return {**data, "batch": {**batch, "sizer": data["sizer"]}}
        return data

    @property
    def batches(self) -> QueueBatchConfig | None:
        """How what leaves is joined; None: it is not."""
        batch = self.batch
        return batch if self.enabled and batch is not None and batch.enabled else None

    @property
    def acknowledges_early(self) -> bool:
        """Whether a batch is acknowledged as soon as it is queued.

        Only a queue on disk, or one that the file switches on in so many words, does
        that: the default queue bounds and runs in parallel, but its callers wait for
        the delivery.
        """
        written = "enabled" in self.model_fields_set or self.storage is not None
        spelled_out = self.enabled and written
        return spelled_out and not self.wait_for_result

    @rule
    def _some_consumers(self) -> Iterator[str]:
        if self.enabled and self.num_consumers <= 0:
            yield "`num_consumers` must be positive"

    @rule
    def _some_size(self) -> Iterator[str]:
        if not self.enabled:
            return
        if self.queue_size <= 0:
            yield "`queue_size` must be positive"
            return
        batch = self.batches
        if batch and batch.sizer == self.sizer and batch.min_size > self.queue_size:
            yield "`min_size` must be less than or equal to `queue_size`"

    @rule
    def _disk_or_wait(self) -> Iterator[str]:
        if self.enabled and self.storage is not None and self.wait_for_result:
            yield (
                "`wait_for_result` is not supported with a persistent queue configured"
                " with `storage`"
            )


class TopLevelQueueConfig(QueueConfig):
    """``sending_queue`` of ``loadbalancing`` itself: there in any form, it is meant.

    Nobody has this queue by default, so every form of the key spells it out.
    """

    @property
    def acknowledges_early(self) -> bool:
        """Whether a batch is acknowledged as soon as it is queued."""
        return self.enabled and not self.wait_for_result
