"""The life of a router with workers, as an operator meets it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tailring_testkit import ports, services
from tailring_testkit.process import Child, wait_until
from tailring_testkit.services import Service, command

_NOBODY = {"static": {"hostnames": ["127.0.0.1:1"]}}


@pytest.fixture(autouse=True)
def _two_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILRING_WORKERS", "2")
    monkeypatch.setenv("TAILRING_METRICS_ENDPOINT", "")
    monkeypatch.setenv("TAILRING_HEALTH_ENDPOINT", "")


def _file(folder: Path, endpoint: str, **more: Any) -> Path:
    """A router's file with one gRPC receiver."""
    tree = {
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": endpoint}}}},
        "exporters": {"load_balancing": {"resolver": _NOBODY}},
        "service": {
            "pipelines": {
                "traces": {"receivers": ["otlp"], "exporters": ["load_balancing"]}
            },
            **more.pop("service", {}),
        },
        **more,
    }
    path = folder / "router.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def _run(path: Path, *words: str, name: str = "router") -> tuple[int, str]:
    """Exit code and stderr of a service that ends by itself."""
    line: list[str | Path] = [
        command(f"tailring-{name}"),
        "run",
        *words,
        "--config",
        path,
    ]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


def _lives(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    # What ended and has no parent to ask about it is no process any more.
    return stat.rpartition(")")[2].split()[0] != "Z"


@contextmanager
def _router(folder: Path) -> Iterator[Service]:
    with services.router(folder, _NOBODY) as router:
        yield router


def test_a_bad_file_is_told_as_without_workers(tmp_path: Path) -> None:
    """Every problem on stderr, exit code 2, and no traceback."""
    path = _file(tmp_path, "127.0.0.1:4317", processors={"batsh": None})
    code, said = _run(path)
    assert code == 2
    assert "batsh" in said
    assert "the configuration has 1 problem" in said
    assert "Traceback" not in said


def test_a_port_that_cannot_be_shared_is_a_problem(tmp_path: Path) -> None:
    """Each worker would get another port, so the key is named and the start refused."""
    code, said = _run(_file(tmp_path, "127.0.0.1:0"))
    assert code == 2
    assert "receivers::otlp::protocols::grpc::endpoint" in said


def test_a_taken_port_is_one_error(tmp_path: Path) -> None:
    """Also when whoever has it would share it, no worker is started."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = f"127.0.0.1:{taken.getsockname()[1]}"
        code, said = _run(_file(tmp_path, endpoint))
    assert code == 1
    assert said.count(f"cannot listen on {endpoint}: Address already in use") == 1
    assert "worker started" not in said


def test_a_worker_that_cannot_start_ends_the_whole(tmp_path: Path) -> None:
    """Before all have run a worker's end is the end, with its code and its reason."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        pages = {"endpoint": f"127.0.0.1:{taken.getsockname()[1]}"}
        path = _file(
            tmp_path,
            f"127.0.0.1:{ports.free_port()}",
            extensions={"zpages": pages},
            service={"extensions": ["zpages"]},
        )
        code, said = _run(path)
    assert code == 1
    assert f"cannot listen on {pages['endpoint']}" in said
    assert "worker ended, stopping" in said


@pytest.mark.parametrize("words", [["--workers", "2"], []])
def test_a_sampler_has_no_workers(words: list[str], tmp_path: Path) -> None:
    """Asked for by option or variable, they are refused with the reason."""
    code, said = _run(tmp_path / "nothing.yaml", *words, name="sampler")
    assert code == 2
    assert "one member of the routers' ring; run more replicas" in said


def test_a_number_of_workers_is_checked(tmp_path: Path) -> None:
    """Nonsense is one clear error that names the option."""
    code, said = _run(tmp_path / "nothing.yaml", "--workers", "0")
    assert code == 2
    assert "--workers: Input should be greater than or equal to 1" in said


def test_the_supervisor_is_small_and_ctrl_c_drains_once(tmp_path: Path) -> None:
    """It has no gRPC; SIGINT to its whole group is one request to drain, not two."""
    with _router(tmp_path) as router:
        pid = router.child.pid
        workers = _children(pid)
        maps = {one: Path(f"/proc/{one}/maps").read_text() for one in (pid, *workers)}
        for worker in workers:
            assert os.getpgid(worker) == worker
        router.child.send(signal.SIGINT)
        assert router.child.wait() == 0
        log = router.child.log()
    assert "cygrpc" not in maps.pop(pid)
    assert all("cygrpc" in text for text in maps.values())
    assert len(maps) == 2
    assert log.count("service stopped clean=True") == 2
    assert "second signal" not in log


def test_workers_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    """SIGKILL of the supervisor leaves no process behind, and each drains."""
    with _router(tmp_path) as router:
        workers = _children(router.child.pid)
        router.child.kill()
        wait_until(lambda: not any(map(_lives, workers)), "the end of the workers")
        log = router.child.log()
    assert len(workers) == 2
    assert log.count("service stopped clean=True") == 2


def test_a_sampler_says_that_it_takes_no_new_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGHUP does not end a sampler, and is not ignored in silence."""
    monkeypatch.setenv("TAILRING_WORKERS", "1")
    policies: list[Mapping[str, Any]] = [{"name": "all", "type": "always_sample"}]
    with services.sampler(tmp_path, backend="127.0.0.1:1", policies=policies) as one:
        child: Child = one.child
        child.send(signal.SIGHUP)
        child.wait_log("takes a new configuration only when it is restarted")
        assert child.alive()
