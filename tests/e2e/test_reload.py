"""A router whose configuration is changed again and again while spans pass it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import itertools
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tailring_testkit import ports, services
from tailring_testkit.numbered import Load, Tally, TallySink
from tailring_testkit.pressure import Pressure
from tailring_testkit.services import Service

_SPANS_PER_S = 5_000
_RELOADS = "tailring_config_reloads_total"
# On a busy machine a slow answer is no lost one: nothing is sent twice for it.
_PATIENT = {"protocol": {"otlp": {"tls": {"insecure": True}, "timeout": "30s"}}}
Yaml = dict[str, Any]
Change = Callable[[Yaml, list[str]], None]


class _Configured:
    """A running router and the file that it was started with."""

    def __init__(self, router: Service) -> None:
        self.router = router
        self._path = Path(router.child.command[-1])
        self.written: Yaml = yaml.safe_load(self._path.read_text())

    async def write(self, tree: Yaml) -> str:
        """Write a file and ask for it; what became of it."""
        self._path.write_text(yaml.safe_dump(tree, sort_keys=False))
        before = self.results()
        self.router.child.send(signal.SIGHUP)
        async with asyncio.timeout(20):
            while (now := await asyncio.to_thread(self.results)) == before:  # noqa: ASYNC110 - a page has no event
                await asyncio.sleep(0.05)
        (result,) = [name for name in now if now[name] > before[name]]
        return result

    def results(self) -> dict[str, float]:
        """How often there was which result so far."""
        return self.router.metrics().by_label(_RELOADS, "result")


def _balancing(tree: Yaml) -> Yaml:
    found: Yaml = tree["exporters"]["loadbalancing"]
    return found


def _fewer(tree: Yaml, targets: list[str]) -> None:
    _balancing(tree)["resolver"]["static"]["hostnames"] = targets[:2]


def _all(tree: Yaml, targets: list[str]) -> None:
    _balancing(tree)["resolver"]["static"]["hostnames"] = targets


def _other_key(tree: Yaml, _targets: list[str]) -> None:
    _balancing(tree)["routing_key"] = "service"


def _queued(tree: Yaml, _targets: list[str]) -> None:
    _balancing(tree)["sending_queue"] = {"enabled": True, "queue_size": 500}


def _stored(tree: Yaml, _targets: list[str]) -> None:
    tree["service"]["extensions"] = ["health_check", "file_storage"]
    _balancing(tree)["sending_queue"]["storage"] = "file_storage"


def _longer(tree: Yaml, _targets: list[str]) -> None:
    _balancing(tree)["sending_queue"]["queue_size"] = 800


def _batched(tree: Yaml, _targets: list[str]) -> None:
    tree["processors"] = {"batch": {"timeout": "20ms"}}
    tree["service"]["pipelines"]["traces"]["processors"] = ["batch"]


def _other_receiver(tree: Yaml, _targets: list[str]) -> None:
    grpc = tree["receivers"]["otlp"]["protocols"]["grpc"]
    grpc["max_recv_msg_size_mib"] = 16


def _bad(tree: Yaml, _targets: list[str]) -> None:
    tree["exporters"]["loadbalancing"]["no_such_key"] = 1
    tree["service"]["pipelines"]["traces"]["receivers"] = ["nobody"]


def _same(_tree: Yaml, _targets: list[str]) -> None:
    """Written anew and not changed."""


_STEPS: tuple[tuple[Change, str], ...] = (
    (_fewer, "applied"),
    (_bad, "refused"),
    (_all, "applied"),
    (_other_receiver, "applied"),
    (_other_key, "applied"),
    (_same, "unchanged"),
    (_queued, "applied"),
    (_stored, "applied"),
    (_longer, "applied"),
    (_batched, "applied"),
    (_bad, "refused"),
    (_fewer, "applied"),
)


async def _change(
    configured: _Configured, targets: list[str], *, changes: int
) -> list[str]:
    """Make changes, each upon the last good file; the results."""
    tree = configured.written
    results = []
    for number, (step, expected) in enumerate(
        itertools.islice(itertools.cycle(_STEPS), changes)
    ):
        if number == len(_STEPS):
            tree = configured.written  # the first file again, and all steps anew
        wanted = copy.deepcopy(tree)
        step(wanted, targets)
        result = await configured.write(wanted)
        assert result == expected, f"{step.__name__}: {configured.router.child.log()}"
        results.append(result)
        if result != "refused":
            tree = wanted
        await asyncio.sleep(0.3)
    return results


async def _until_arrived(tally: Tally) -> None:
    """What a queue has acknowledged may still be on its way."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(30):
            while not tally.complete:  # noqa: ASYNC110 - of several sinks
                await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("workers", "spans", "changes"), [(1, 60_000, 22), (2, 20_000, 6)]
)
async def test_changes_under_load_lose_and_repeat_nothing(
    workers: int,
    spans: int,
    changes: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At 5,000 spans/s every span arrives exactly once while backends, keys, queues,
    processors and the receiver change, and bad files are refused between."""
    monkeypatch.setenv("TAILRING_WORKERS", str(workers))
    load = Load(spans, seed=4, traces_per_request=25)
    tally = Tally(load)
    sink_ports = ports.free_ports(3)
    sinks = [TallySink(tally, port) for port in sink_ports]
    targets = [f"127.0.0.1:{port}" for port in sink_ports]
    static = {"static": {"hostnames": targets}}
    with services.router(tmp_path, static, exporter=_PATIENT) as router:
        async with sinks[0], sinks[1], sinks[2], asyncio.TaskGroup() as group:
            pressure = Pressure(
                [router.target] * 4, spans_per_s=_SPANS_PER_S, timeout_s=60.0
            )
            pressing = group.create_task(pressure.run(load))
            configured = _Configured(router)
            # Defined from the first; later it is listed and used.
            configured.written["extensions"]["file_storage"] = {
                "directory": str(tmp_path / "queue"),
                "create_directory": True,
            }
            results = await _change(configured, targets, changes=changes)
            pressed = await pressing
            await _until_arrived(tally)
        log = router.child.log()
        page = router.metrics()
    assert tally.exact(), f"{tally} {pressed.codes} {log}"
    assert len(results) == changes
    assert page.total("otelcol_receiver_accepted_spans_total") == spans
    assert page.total("tailring_router_received_spans_total") == spans
    assert page.total("tailring_router_held_spans") == 0
    assert log.count("no_such_key") == results.count("refused") > 0
