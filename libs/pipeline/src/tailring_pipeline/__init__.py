"""The seam between stages and the stages that every pipeline shares."""

from tailring_pipeline.consumer import Batch, Consumer, Refused, Rejected, Signal, Stage

__all__ = ["Batch", "Consumer", "Refused", "Rejected", "Signal", "Stage"]
