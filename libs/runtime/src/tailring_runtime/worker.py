"""The program of a supervisor's children: ``python -m tailring_runtime.worker``.

    python -m tailring_runtime.worker MODULE DESCRIPTOR NAME

``MODULE`` holds the service's `COMMAND`; ``DESCRIPTOR`` is the number of the socket to
the supervisor, whose first message is the task; ``NAME`` is for people who look at a
list of processes.
"""

from __future__ import annotations

import importlib
import pickle
import signal
import socket
import sys
from collections.abc import Sequence

from tailring_runtime import command as commands
from tailring_runtime.channel import leave_with, receive, send
from tailring_runtime.command import ServiceCommand
from tailring_runtime.environment import environment, quiet_libraries
from tailring_runtime.plan import MakePlan, Work, make_plan

__all__ = ["main"]

# A stop may overrun its deadline by some seconds (`lifecycle`); then some more.
GRACE_S = 6.0


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the supervisor says; the exit code."""
    quiet_libraries()
    module, descriptor, *_ = sys.argv[1:] if argv is None else argv
    # The supervisor decides what a signal to the whole group means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sock = socket.socket(fileno=int(descriptor))
    command: ServiceCommand = importlib.import_module(module).COMMAND
    task = receive(sock)
    if isinstance(task, MakePlan):
        send(sock, make_plan(command, task.origin, environ=environment()))
        return commands.EXIT_OK
    assert isinstance(task, Work), task
    return _work(command, task, sock)


def _work(command: ServiceCommand, task: Work, sock: socket.socket) -> int:
    from tailring_runtime.feed import WorkerFeed

    leave_with(sock, grace_s=task.settings.drain_timeout_s + GRACE_S)
    loaded = pickle.loads(task.payload)
    return commands.start(command, loaded, task.settings, feed=WorkerFeed(sock))


if __name__ == "__main__":
    sys.exit(main())
