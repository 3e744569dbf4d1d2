"""Cutting a batch that is larger than a request should be."""

from __future__ import annotations

from itertools import repeat

from tailring_otlpwire import WireError, chunk
from tailring_pipeline.consumer import Batch
from tailring_pipeline.per_signal import KINDS

__all__ = ["cut_batch"]


def cut_batch(batch: Batch, bytes_max: int) -> list[Batch]:
    """The items of ``batch`` in batches of ``bytes_max`` at most, as far as that goes.

    A single item may be larger, and so may items whose headers, repeated in each of the
    batches, would together be larger than ``batch``.
    """
    signal, kind = batch.signal, KINDS[batch.signal]
    todo = [batch]
    done: list[Batch] = []
    # Headers are repeated in each part. Where they outweigh the items, repeating them
    # all does not help and a request could become a thousand times its size.
    spare_bytes = len(batch.payload)
    while todo:
        part = todo.pop()
        size = len(part.payload)
        if size <= bytes_max or part.items < 2:
            done.append(part)
            continue
        # By their mean size first; what is still too large then is cut again.
        items_max = max(part.items // -(-size // bytes_max), 1)
        try:
            payloads = chunk(
                part.payload, items_max, copies_bytes_max=spare_bytes, kind=kind
            )
        except WireError:
            done.append(part)
            continue
        spare_bytes -= max(sum(map(len, payloads)) - size, 0)
        items = [
            min(items_max, part.items - at * items_max) for at in range(len(payloads))
        ]
        todo += [*map(Batch, payloads, items, repeat(signal))][::-1]
    return done
