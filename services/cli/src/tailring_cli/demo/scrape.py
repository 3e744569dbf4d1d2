"""Reads the routers' and samplers' own metrics pages.

A page becomes a `Page`: sums by metric name and labels. Names are looked up without
the `_total` suffix, so that it does not matter whether a reader adds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

__all__ = ["EMPTY", "Page", "Pages"]


class Page:
    """One process's metrics at one moment."""

    def __init__(self, text: str) -> None:
        self._samples = [
            (sample.name.removesuffix("_total"), sample.labels, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]

    def total(self, name: str, **labels: str) -> int:
        """The sum over all series of ``name`` that carry these labels; 0 if none."""
        return int(
            sum(
                value
                for found, has, value in self._samples
                if found == name and labels.items() <= has.items()
            )
        )

    def by_label(self, name: str, label: str) -> Mapping[str, int]:
        """The series of ``name`` summed by the value of one label."""
        sums: dict[str, int] = {}
        for found, labels, value in self._samples:
            if found == name and label in labels:
                sums[labels[label]] = sums.get(labels[label], 0) + int(value)
        return sums


EMPTY = Page("")
"""What a process shows that was never reached."""


class Pages:
    """The latest page of each process; one that does not answer keeps its last."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = tuple(ports)
        self._pages = [EMPTY for _ in ports]

    async def refresh(self, session: aiohttp.ClientSession) -> list[Page]:
        """Read all at the same time; the result is in the order of the ports."""
        read = await asyncio.gather(*(_read(session, port) for port in self._ports))
        self._pages = [
            new if new is not None else old
            for new, old in zip(read, self._pages, strict=True)
        ]
        return list(self._pages)


async def _read(session: aiohttp.ClientSession, port: int) -> Page | None:
    try:
        async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            return Page(await answer.text()) if answer.status == 200 else None
    except (aiohttp.ClientError, TimeoutError):
        return None
