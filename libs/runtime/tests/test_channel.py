"""Messages between a supervisor and a child, and what follows when one is gone."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys

import pytest

from tailring_runtime.channel import Channel, receive, send

# A child that says when it is there and then hangs with or without its event loop.
_CHILD = """
import signal, socket, sys, time
from tailring_runtime.channel import leave_with, send
sock = socket.socket(fileno=int(sys.argv[1]))
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
leave_with(sock, grace_s=0.2)
send(sock, "here")
if sys.argv[2] == "closes":
    sock.close()
time.sleep(60)
"""


async def test_messages_arrive_whole_and_in_order() -> None:
    """What one end sends the other receives, whatever its size."""
    one, other = socket.socketpair()
    here, there = await Channel.over(one), await Channel.over(other)
    messages: list[object] = ["", {"a": (1, 2)}, b"x" * 3_000_000, None]
    for message in messages:
        here.send(message)
    assert [await there.receive() for _ in messages] == messages
    here.close()
    with pytest.raises(EOFError):
        await there.receive()
    there.close()


async def test_an_end_without_a_loop_understands_the_other() -> None:
    """The blocking form reads and writes the same messages."""
    one, other = socket.socketpair()
    channel = await Channel.over(one)
    channel.send(["task"])
    assert await asyncio.to_thread(receive, other) == ["task"]
    await asyncio.to_thread(send, other, "answer")
    assert await channel.receive() == "answer"
    channel.close()
    await asyncio.sleep(0)
    with pytest.raises(EOFError):
        receive(other)
    other.close()


@pytest.mark.parametrize(
    ("kind", "code"), [("mild", -signal.SIGTERM), ("closes", -15), ("deaf", 1)]
)
def test_a_child_ends_with_its_supervisor(kind: str, code: int) -> None:
    """SIGTERM reaches it, also when it has closed its own end; one that does not react
    is ended after the grace."""
    ours, theirs = socket.socketpair()
    descriptor = theirs.fileno()
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(descriptor), kind], pass_fds=(descriptor,)
    ) as child:
        theirs.close()
        assert receive(ours) == "here"
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(timeout=0.3)
        ours.close()
        assert child.wait(timeout=20) == code
