"""Writes docs/configuration.md and docs/metrics.md from the code; ``--check`` compares.

Options, metrics and their documentation come from one declaration: the configuration
models with their descriptions, and the `MetricSpec` constants of every package.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from types import MappingProxyType, ModuleType

from tailring_router import components as router
from tailring_runtime.config import (
    ComponentType,
    KeyRow,
    Registry,
    TelemetryConfig,
    describe,
)
from tailring_runtime.metrics import MetricSpec
from tailring_runtime.settings import Settings
from tailring_sampler import components as sampler
from tailring_sampler.policies import BUILT_IN

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "tailring_runtime",
    "tailring_resolvers",
    "tailring_pipeline",
    "tailring_otlpio",
    "tailring_router",
    "tailring_sampler",
)
GENERATED = "<!-- Written by `make docs` from the code; do not edit. -->"


def main() -> int:
    """Write the pages, or say which of them differ; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    check = parser.parse_args().check
    stale = []
    for name, text in (
        ("configuration.md", "\n".join(configuration_page()) + "\n"),
        ("metrics.md", "\n".join(metrics_page()) + "\n"),
    ):
        path = ROOT / "docs" / name
        if check and (not path.exists() or path.read_text("utf-8") != text):
            stale.append(f"docs/{name}")
        elif not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")
    for name in stale:
        print(f"{name} differs from the code: run `make docs` and commit it")
    return 1 if stale else 0


def configuration_page() -> Iterator[str]:
    """Every component and key that a file may hold, by service."""
    registries = (router.registry(), sampler.registry())
    yield "# Configuration reference"
    yield ""
    yield GENERATED
    yield ""
    yield "The YAML is the collector's. Durations are written with their unit (`5s`,"
    yield "`200ms`). A key marked *refused* exists upstream and is an error here for"
    yield "the reason beside it, unless its value switches nothing on (null, `false`,"
    yield "an empty list); any other key is an error that names its nearest neighbour."
    yield ""
    yield from _components_table(registries)
    seen: set[type[object]] = set()
    for registry in registries:
        for component in registry.types:
            if component.model not in seen:
                seen.add(component.model)
                yield from _component(component)
    yield from _policies()
    yield "## service.telemetry"
    yield ""
    yield from _key_table(describe(TelemetryConfig))
    yield "## Process settings"
    yield ""
    yield "Environment variables, beside the file."
    yield ""
    yield "| variable | default | |"
    yield "| --- | --- | --- |"
    for name, field in Settings.model_fields.items():
        text = _cell(field.description or "")
        yield f"| `TAILRING_{name.upper()}` | `{field.default}` | {text} |"


def _components_table(registries: Iterable[Registry]) -> Iterator[str]:
    yield "| component | also written | runs in |"
    yield "| --- | --- | --- |"
    rows: dict[tuple[str, str], list[str]] = {}
    spellings: dict[tuple[str, str], str] = {}
    for registry in registries:
        for one in registry.types:
            rows.setdefault((one.kind, one.name), []).append(registry.service)
            former = [f"`{n}` (former name)" for n in sorted(one.deprecated)]
            also = [f"`{n}`" for n in sorted(one.aliases)] + former
            spellings[one.kind, one.name] = ", ".join(also)
    for (kind, name), services in rows.items():
        yield (f"| {kind} `{name}` | {spellings[kind, name]} | {', '.join(services)} |")
    yield ""


def _policies() -> Iterator[str]:
    yield "## Policies"
    yield ""
    yield "Each policy of `tail_sampling` has a `name`, a `type`, and a block that is"
    yield "called like the type:"
    yield ""
    yield "```yaml"
    yield "policies:"
    yield "  - name: slow"
    yield "    type: latency"
    yield "    latency: {threshold_ms: 500}"
    yield "```"
    yield ""
    for policy_type in BUILT_IN:
        yield f"### {policy_type.name}"
        yield ""
        yield (policy_type.model.__doc__ or "").strip().splitlines()[0]
        yield ""
        yield from _key_table(describe(policy_type.model))
    yield "[Others](policies.md) can be added."
    yield ""


def _component(component: ComponentType) -> Iterator[str]:
    yield f"## {component.kind}s.{component.name}"
    yield ""
    summary = (component.model.__doc__ or "").strip().splitlines()[0]
    yield summary
    yield ""
    yield from _key_table(describe(component.model))


def _key_table(rows: Iterable[KeyRow]) -> Iterator[str]:
    listed = _once(list(rows))
    if not listed:
        yield "No keys."
        yield ""
        return
    yield "| key | type | default | |"
    yield "| --- | --- | --- | --- |"
    for row in listed:
        if row.status == "refused":
            yield f"| `{row.path}` | *refused* | | {_cell(row.description)} |"
        else:
            default = f"`{_cell(row.default)}`" if row.default else ""
            text = _cell(row.description)
            yield f"| `{row.path}` | {_cell(row.type)} | {default} | {text} |"
    yield ""


def _once(rows: list[KeyRow]) -> list[KeyRow]:
    """The rows without keys of a base model that are refused in this place."""
    refused = {row.path for row in rows if row.status == "refused"}
    return [row for row in rows if row.status == "refused" or row.path not in refused]


def metrics_page() -> Iterator[str]:
    """Every metric that a service may expose."""
    yield "# Metrics reference"
    yield ""
    yield GENERATED
    yield ""
    yield "Names as declared. On the page `/metrics` counters end in `_total`, unless"
    yield "the reader says `without_type_suffix: true`; units are appended when it says"
    yield "`without_units: false`. `otelcol_` names are the collector's own, so its"
    yield "dashboards and alerts go on working; `tailring_` ones are ours."
    yield ""
    yield "| metric | kind | unit | labels | |"
    yield "| --- | --- | --- | --- | --- |"
    for spec in sorted(metric_specs(), key=lambda spec: spec.name):
        labels = ", ".join(f"`{label}`" for label in spec.labels)
        unit = f"`{spec.unit}`" if spec.unit else ""
        yield (
            f"| `{spec.name}` | {spec.kind} | {unit} | {labels} | {_cell(spec.help)} |"
        )


def metric_specs() -> set[MetricSpec]:
    """The `MetricSpec` constants of every module of every package.

    Those that have a name for each signal are maps of them.
    """
    values = list(chain.from_iterable(vars(module).values() for module in _modules()))
    maps = [value.values() for value in values if isinstance(value, MappingProxyType)]
    every = chain(values, chain.from_iterable(maps))
    return {value for value in every if isinstance(value, MetricSpec)}


def _modules() -> Iterator[ModuleType]:
    for package in PACKAGES:
        folder = importlib.import_module(package).__path__
        for info in pkgutil.walk_packages(folder, prefix=f"{package}."):
            if not info.name.endswith(("__main__", "__mypyc")):
                yield importlib.import_module(info.name)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
