"""What may happen to a backend while data flows, each with its end.

A fault is two steps: *strike*, which goes on for as long as the fault lasts, and
*mend*. The name is what the command line and the table of results call it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import grpc
from tests.faults.bench import BACKENDS, Bench, Reached

from tailring_testkit.backend import OK, Answer

__all__ = ["FAULTS", "Fault"]

Step = Callable[[Bench], Awaitable[None]]
_SLOW_S = 5.0
_RETRY_AFTER_S = 1.0
# Of a fault, the time that a dead backend is still listed.
_LISTED_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of harm."""

    name: str
    strike: Step
    mend: Step
    reached: Reached = "directly"
    answers_first: bool = False
    """Whether the router gives up a part before its client gives up the request. One
    who gives up in the moment of the answer cannot be told from one who heard it."""

    @property
    def one_ring(self) -> bool:
        """Whether the ring stays the same, so that no trace may be split."""
        return self.reached != "by name"


async def _kill(bench: Bench) -> None:
    bench.victim.child.kill()


async def _start(bench: Bench) -> None:
    await asyncio.to_thread(bench.victim.start)


async def _stop(bench: Bench) -> None:
    bench.victim.child.send(signal.SIGSTOP)


async def _continue(bench: Bench) -> None:
    bench.victim.child.send(signal.SIGCONT)


def _answering(answer: Answer) -> Step:
    async def step(bench: Bench) -> None:
        """Let the victim answer like this from now on."""
        await asyncio.to_thread(bench.victim.answer, answer)

    return step


async def _cut(bench: Bench) -> None:
    bench.proxy.cut()


async def _mute(bench: Bench) -> None:
    bench.proxy.muted = True


async def _unmute(bench: Bench) -> None:
    bench.proxy.muted = False
    bench.proxy.cut()


async def _roll(bench: Bench) -> None:
    """One backend after the other leaves the list and comes back, as in a rollout."""
    everybody = range(BACKENDS)
    step_s = bench.lasts_s / (2 * BACKENDS)
    for one in everybody:
        bench.list_backends(*(other for other in everybody if other != one))
        await asyncio.sleep(step_s)
        bench.list_backends(*everybody)
        await asyncio.sleep(step_s)


async def _kill_and_unlist(bench: Bench) -> None:
    """It dies, and leaves the list only after its clients were refused."""
    bench.victim.child.kill()
    await asyncio.sleep(_LISTED_SHARE * bench.lasts_s)
    bench.list_backends(*range(1, BACKENDS))
    await asyncio.sleep((1 - _LISTED_SHARE) * bench.lasts_s)


async def _start_and_list(bench: Bench) -> None:
    await _start(bench)
    bench.list_backends(*range(BACKENDS))


async def _expire(bench: Bench) -> None:
    """It is started again with a certificate that was good until yesterday."""
    assert bench.certificates is not None
    bench.certificates.expired.copy_to(bench.certificates.shown)
    bench.victim.child.kill()
    await _start(bench)


async def _renew(bench: Bench) -> None:
    assert bench.certificates is not None
    bench.certificates.good.copy_to(bench.certificates.shown)
    bench.victim.child.kill()
    await _start(bench)


def _lasting(step: Step) -> Step:
    async def strike(bench: Bench) -> None:
        """Do it, and leave it so for as long as the fault lasts."""
        await step(bench)
        await _wait(bench)

    return strike


async def _wait(bench: Bench) -> None:
    await asyncio.sleep(bench.lasts_s)


async def _nothing(_bench: Bench) -> None:
    """There is nothing to do."""


_EXHAUSTED = Answer(
    grpc.StatusCode.RESOURCE_EXHAUSTED, "too much", retry_after_s=_RETRY_AFTER_S
)
_ALL: Sequence[Fault] = (
    Fault("none", _wait, _nothing),
    Fault("kill", _lasting(_kill), _start),
    Fault("stop", _lasting(_stop), _continue),
    Fault("slow", _lasting(_answering(Answer(delay_s=_SLOW_S))), _answering(OK)),
    Fault("exhausted", _lasting(_answering(_EXHAUSTED)), _answering(OK)),
    Fault("cut", _lasting(_cut), _cut, "by proxy"),
    Fault("mute", _lasting(_mute), _unmute, "by proxy"),
    Fault("expired", _lasting(_expire), _renew, "by tls"),
    Fault("unlisted", _kill_and_unlist, _start_and_list, "by name", answers_first=True),
    Fault("rolling", _roll, _nothing, "by name"),
)
FAULTS = {fault.name: fault for fault in _ALL}
