"""The measured process, the sinks and the load generator as children.

CPU time and memory are read from ``/proc``: user and system time of all threads of
the measured process, and its resident set.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from bench.configs import Ports
from bench.load import Sent
from bench.pace import Paced
from bench.sinks import SPANS_METHOD

from tailring_testkit import ports as free
from tailring_testkit.process import Child, http_ok, port_open, running
from tailring_testkit.servers import binary

__all__ = [
    "SIDES",
    "Sinks",
    "Target",
    "pace",
    "running_sinks",
    "running_target",
    "send",
]

SIDES = ("ours", "peer")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_LOAD_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Target:
    """The process that is measured."""

    child: Child
    ports: Ports

    @property
    def endpoint(self) -> str:
        """Where it takes OTLP/gRPC."""
        return f"127.0.0.1:{self.ports.otlp}"

    def cpu_s(self) -> float:
        """CPU seconds that it has used, all threads, user and system."""
        stat = Path(f"/proc/{self.child.pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * _TICK_S

    def rss_bytes(self) -> int:
        """Its resident memory."""
        statm = Path(f"/proc/{self.child.pid}/statm").read_text()
        return int(statm.split()[1]) * _PAGE_BYTES


@dataclass(frozen=True, slots=True)
class Sinks:
    """The backends."""

    endpoints: tuple[str, ...]

    def spans(self) -> int:
        """How many spans they have received."""
        with grpc.insecure_channel(self.endpoints[0]) as channel:
            ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                SPANS_METHOD
            )
            return int(ask(b"", timeout=10))

    def wait_spans(self, spans: int, *, timeout_s: float = 60.0) -> None:
        """Return once at least ``spans`` have arrived; raises TimeoutError."""
        limit_s = time.monotonic() + timeout_s
        while (arrived := self.spans()) < spans:
            if time.monotonic() > limit_s:
                raise TimeoutError(f"{arrived} of {spans} spans after {timeout_s} s")
            time.sleep(0.1)


@contextmanager
def running_sinks(count: int, *, folder: Path) -> Iterator[Sinks]:
    """That many backends, all in one process."""
    numbers = free.free_ports(count)
    command = [sys.executable, "-m", "bench.sinks", *(str(it) for it in numbers)]
    ready = port_open(numbers[-1])
    with running(command, log=folder / "sinks.log", ready=ready):
        yield Sinks(tuple(f"127.0.0.1:{it}" for it in numbers))


@contextmanager
def running_target(
    side: str,
    kind: str,
    *,
    config: Callable[[Ports], dict[str, Any]],
    folder: Path,
) -> Iterator[Target]:
    """``kind`` ("router" or "sampler") of one side, ready for traffic."""
    own = Ports(*free.free_ports(3))
    path = folder / f"{side}-{kind}.yaml"
    path.write_text(json.dumps(config(own)))
    ready = http_ok(f"http://127.0.0.1:{own.health}/")
    command = [*_program(side, kind), "--config", str(path)]
    log = folder / f"{side}-{kind}.log"
    with running(command, log=log, ready=ready) as child:
        yield Target(child, own)


def _program(side: str, kind: str) -> Sequence[str]:
    if side == "peer":
        return (str(binary("otelcol")),)
    return (sys.executable, "-m", f"tailring_{kind}")


def send(target: Target, *, spans: int, size: int, scattered: bool, seed: int) -> Sent:
    """Send load in a process of its own and wait until all is acknowledged."""
    arguments = ["--spans", str(spans), "--size", str(size), "--seed", str(seed)]
    if scattered:
        arguments.append("--scattered")
    return Sent(**_child("bench.load", target.endpoint, arguments))


def pace(endpoint: str, *, rate: float, size: int, seconds: float) -> Paced:
    """Send requests at a fixed rate in a process of its own."""
    arguments = ["--rate", str(rate), "--size", str(size), "--seconds", str(seconds)]
    return Paced(**_child("bench.pace", endpoint, arguments))


def _child(module: str, endpoint: str, arguments: list[str]) -> dict[str, Any]:
    """Run a load generator to its end; what its last line says."""
    done = subprocess.run(
        [sys.executable, "-m", module, endpoint, *arguments],
        capture_output=True,
        text=True,
        timeout=_LOAD_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the load generator failed:\n{done.stderr[-2000:]}")
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said
