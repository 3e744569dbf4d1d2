"""What the receiver makes of odd requests, without a backend behind it."""

from __future__ import annotations

import pytest
from grpc import StatusCode

from tailring_testkit import odd_protobuf
from tailring_testkit.receiver_rig import receiver_rig


@pytest.mark.parametrize("transport", ["grpc", "http"])
async def test_what_is_taken_is_passed_on_byte_by_byte(transport: str) -> None:
    """A request that is taken reaches the pipeline unchanged, but for old spans, which
    move to where spans are today; one that is refused does not reach it."""
    async with receiver_rig() as rig:
        for name, body in odd_protobuf.BODIES.items():
            if transport == "http":
                taken = (await rig.http.post(body)).status == 200
            else:
                taken = (await rig.grpc.export(body)).code is StatusCode.OK
            arrived = [batch.payload for batch in rig.sink.batches]
            rig.sink.batches.clear()
            assert taken or not arrived, name
            if arrived and not name.startswith("deprecated"):
                assert arrived == [body], name
