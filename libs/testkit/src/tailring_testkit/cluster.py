"""Several machines on one: network and mount namespaces joined by a bridge.

Configuration files that say ``0.0.0.0:4317`` and name hosts run unchanged here: each
node has its own ports and its own address, and all of them ask the DNS server that
the test gave them. It takes root, or a kernel that gives user namespaces to users.

A test marked ``namespaces`` runs in a second pytest inside namespaces of its own (see
``tests/interop/conftest.py``); there, and only there, a `Cluster` can be made. When
that pytest ends, for whatever reason, every process and device of it is gone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tailring_testkit.process import Child, Ready, running, wait_until
from tailring_testkit.servers import Place

__all__ = ["Cluster", "Node", "cluster", "inside", "run_inside"]

_MARK = "TAILRING_TEST_INSIDE"
_NETWORK = "10.77.0"
_BRIDGE = "nodes"


def inside() -> bool:
    """Whether this process was started by `run_inside`."""
    return _MARK in os.environ  # noqa: TID251 - how a process knows where it is


def run_inside(command: Sequence[str]) -> None:
    """Run a command in new network, mount and process namespaces; fails as it does."""
    user = [] if os.getuid() == 0 else ["--map-root-user"]
    unshare = ["unshare", *user, "--mount", "--net", "--pid", "--fork"]
    done = subprocess.run(
        [*unshare, "--mount-proc", "--kill-child", "--", *command],
        env={**os.environ, _MARK: "1"},  # noqa: TID251 - children inherit PATH
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _ip(*words: str) -> None:
    environ = {"PATH": f"{os.defpath}:/usr/sbin:/sbin"}
    subprocess.run(["ip", *words], check=True, env=environ)


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster."""

    name: str
    address: str
    pid: int  # of the process that holds its network namespace

    @property
    def place(self) -> Place:
        """Where servers of the testkit run on this node."""
        enter = ("nsenter", f"--target={self.pid}", "--net", "--")
        return Place(self.address, enter)

    @contextmanager
    def running(self, *command: str | Path, log: Path, ready: Ready) -> Iterator[Child]:
        """Run a program on this node until the block ends."""
        with running(self.place.command(*command), log=log, ready=ready) as child:
            yield child


class Cluster:
    """The nodes, and the bridge whose own address is that of the test."""

    def __init__(self) -> None:
        assert inside(), "mark the test with pytest.mark.namespaces"
        self._holders: list[subprocess.Popen[bytes]] = []
        _ip("link", "set", "lo", "up")
        _ip("link", "add", _BRIDGE, "type", "bridge")
        _ip("addr", "add", f"{_NETWORK}.1/24", "dev", _BRIDGE)
        _ip("link", "set", _BRIDGE, "up")

    def node(self, name: str) -> Node:
        """A new machine, up and reachable."""
        holder = subprocess.Popen(["unshare", "--net", "--", "sleep", "infinity"])
        self._holders.append(holder)
        own = os.readlink("/proc/self/ns/net")
        wait_until(
            lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != own,
            f"the network namespace of {name}",
        )
        number = len(self._holders)
        node = Node(name, f"{_NETWORK}.{number + 1}", holder.pid)
        outer, peer = f"v{number}", f"p{number}"
        _ip("link", "add", outer, "type", "veth", "peer", "name", peer)
        _ip("link", "set", outer, "master", _BRIDGE, "up")
        _ip("link", "set", peer, "netns", str(holder.pid))
        for words in (
            ("link", "set", "lo", "up"),
            ("link", "set", peer, "name", "eth0"),
            ("addr", "add", f"{node.address}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
        ):
            subprocess.run(node.place.command("ip", *words), check=True)
        return node

    def use_resolver(self, server: str, *, search: str, folder: Path) -> None:
        """Let every process of the cluster ask ``server``, as in a pod."""
        file = folder / "resolv.conf"
        options = "options ndots:5 timeout:2 attempts:2"
        file.write_text(f"nameserver {server}\nsearch {search}\n{options}\n")
        subprocess.run(["mount", "--bind", file, "/etc/resolv.conf"], check=True)

    def close(self) -> None:
        """End the processes that hold the nodes' namespaces."""
        for holder in self._holders:
            holder.kill()
            holder.wait()


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster without nodes; gone at the end of the block."""
    made = Cluster()
    try:
        yield made
    finally:
        made.close()


def pytest_command(nodeid: str) -> list[str]:
    """The command that runs one test in a pytest of its own."""
    options = ["-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:xdist"]
    return [sys.executable, "-m", "pytest", *options, nodeid]
