"""The debug pages that every service has: what runs, and what flows through it.

``servicez``: the process and its state. ``pipelinez``: the pipelines of the file, and
the counters of their parts as `/metrics` has them now, a row for each part.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import UTC, datetime

from tailring_runtime.config.collector import CollectorConfig
from tailring_runtime.health import Health
from tailring_runtime.metrics import Histogram, Metrics
from tailring_runtime.pages import Page, Pages, Table
from tailring_runtime.process import Identity

__all__ = ["add_pipeline_page", "add_service_page", "pivot"]

_PARTS = ("receiver", "processor", "exporter")


def add_service_page(pages: Pages, *, identity: Identity, health: Health) -> None:
    """Add ``servicez``, which says what process this is and how it is."""
    started = datetime.now(UTC)

    def page(_query: Mapping[str, str]) -> Page:
        """The process now."""
        facts = {
            "service": identity.service,
            "version": identity.version,
            "python": platform.python_version(),
            "started": started.isoformat(timespec="seconds"),
            "uptime_s": int((datetime.now(UTC) - started).total_seconds()),
            "state": health.state.value,
            "ready": health.ready,
            "unmet": ", ".join(health.unmet()) or "nothing",
        }
        return Page("Service", facts=facts)

    pages.add("servicez", page, about="the process: version, uptime, state")


def add_pipeline_page(
    pages: Pages, *, config: CollectorConfig, metrics: Metrics
) -> None:
    """Add ``pipelinez``, which says what is wired to what and what has passed."""
    wired = tuple(
        (
            str(name),
            ", ".join(map(str, pipeline.receivers)),
            " -> ".join(map(str, pipeline.processors)) or "none",
            ", ".join(map(str, pipeline.exporters)),
        )
        for name, pipeline in config.service.pipelines.items()
    )
    columns = ("pipeline", "receivers", "processors", "exporters")

    def page(_query: Mapping[str, str]) -> Page:
        """The pipelines and the counters of now."""
        counters = [pivot(metrics, part) for part in _PARTS]
        tables = (Table("Pipelines", columns, wired), *counters)
        return Page("Pipelines", tables=tuple(t for t in tables if t.rows))

    pages.add("pipelinez", page, about="pipelines, and what passed their parts")


def pivot(metrics: Metrics, part: str) -> Table:
    """The metrics named ``otelcol_<part>_...`` with a row for each value of their
    label ``<part>``, summed over the others; a histogram counts its observations."""
    prefix = f"otelcol_{part}_"
    cells: dict[str, dict[str, float]] = {}
    columns: list[str] = []
    for spec, family in metrics.families():
        if not spec.name.startswith(prefix) or part not in spec.labels:
            continue
        column = spec.name.removeprefix(prefix)
        columns.append(column)
        at = spec.labels.index(part)
        for labels, series in family.items():
            value = series.count if isinstance(series, Histogram) else series.value
            row = cells.setdefault(labels[at], {})
            row[column] = row.get(column, 0) + value
    rows = tuple(
        (name, *(_whole(cells[name].get(column, 0)) for column in columns))
        for name in sorted(cells)
    )
    return Table(f"{part.capitalize()}s", (part, *columns), rows)


def _whole(value: float) -> float:
    return int(value) if float(value).is_integer() else value
