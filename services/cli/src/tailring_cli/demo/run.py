"""`tailring demo` as a function: sets a demo up, runs it, says how it went."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console

from tailring_cli.demo.layout import Layout, plan_layout, router_yaml, sampler_yaml
from tailring_cli.demo.play import Demo, DemoOptions, Specs
from tailring_cli.demo.processes import ChildSpec
from tailring_cli.demo.summary import good, summary
from tailring_cli.demo.view import LiveView, PlainView, View

__all__ = ["Programs", "run_demo"]

_ROUTERS = 2
_SAMPLERS = 3
_DECISION_WAIT_S = 3
_SCRAPE_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Programs:
    """How a router and a sampler are started; the config file is appended."""

    router: Sequence[str]
    sampler: Sequence[str]

    @classmethod
    def ours(cls) -> Programs:
        """The services that are installed beside this command."""
        return cls(
            router=(sys.executable, "-m", "tailring_router", "--config"),
            sampler=(sys.executable, "-m", "tailring_sampler", "--config"),
        )


def run_demo(options: DemoOptions, *, programs: Programs, console: Console) -> int:
    """Run a whole demo; returns the exit code (1: the proof does not hold).

    Blocks until the end. Raises `CliError` when a child dies or the user insists.
    """
    return asyncio.run(_run(options, programs=programs, console=console))


async def _run(options: DemoOptions, *, programs: Programs, console: Console) -> int:
    layout = plan_layout(
        routers=_ROUTERS, samplers=_SAMPLERS, decision_wait_s=_DECISION_WAIT_S
    )
    plain = options.plain or not console.is_terminal
    view: View = (PlainView if plain else LiveView)(console, layout)
    async with AsyncExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="tailring-demo-"))
        )
        timeout = aiohttp.ClientTimeout(total=_SCRAPE_TIMEOUT_S)
        session = await stack.enter_async_context(
            aiohttp.ClientSession(timeout=timeout)
        )
        demo = Demo(options, layout=layout, session=session, view=view)
        stack.push_async_callback(demo.end_all)
        with view:
            last = await demo.run(_specs(layout, programs=programs, folder=folder))
    if last is None:
        console.print("stopped before traffic began")
        return 0
    console.print(summary(last), markup=False, highlight=False, soft_wrap=True)
    return 0 if good(last) else 1


def _specs(layout: Layout, *, programs: Programs, folder: Path) -> Specs:
    """All processes, their YAML written to ``folder``."""
    samplers = [
        _spec(
            it.name,
            command=(
                *programs.sampler,
                _write(folder, it.name, sampler_yaml(layout, it)),
            ),
            health_port=it.health_port,
        )
        for it in layout.samplers
    ]
    routers = [
        _spec(
            it.name,
            command=(
                *programs.router,
                _write(folder, it.name, router_yaml(layout, it)),
            ),
            health_port=it.health_port,
        )
        for it in layout.routers
    ]
    return Specs(folder=folder, samplers=tuple(samplers), routers=tuple(routers))


def _spec(name: str, *, command: Sequence[str], health_port: int) -> ChildSpec:
    return ChildSpec(name, command, f"http://127.0.0.1:{health_port}/")


def _write(folder: Path, name: str, config: dict[str, Any]) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(config, indent=2))  # JSON is YAML
    return str(path)
