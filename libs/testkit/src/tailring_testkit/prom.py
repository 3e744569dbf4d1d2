"""Reading a ``/metrics`` page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from tailring_testkit import web

__all__ = ["Sample", "Scrape", "parse", "scrape"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of the page."""

    name: str
    labels: dict[str, str]
    value: float


class Scrape:
    """All samples of one page, asked by name and by any of their labels."""

    def __init__(self, samples: list[Sample]) -> None:
        self._samples = samples

    def __iter__(self) -> Iterator[Sample]:
        return iter(self._samples)

    def names(self) -> set[str]:
        """The sample names, with their suffixes."""
        return {sample.name for sample in self._samples}

    def find(self, name: str, **labels: str) -> list[Sample]:
        """The samples of that name that carry these labels (and perhaps more)."""
        return [
            sample
            for sample in self._samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def total(self, name: str, **labels: str) -> float:
        """Their sum; 0 when there is none (a counter that never moved)."""
        return sum(sample.value for sample in self.find(name, **labels))

    def value(self, name: str, **labels: str) -> float:
        """The value of the only such sample; fails when there is none or several."""
        found = self.find(name, **labels)
        assert len(found) == 1, f"{name} {labels}: {len(found)} samples in {self!r}"
        return found[0].value

    def by_label(self, name: str, label: str) -> dict[str, float]:
        """The samples of that name summed by the value of one label."""
        sums: dict[str, float] = {}
        for sample in self.find(name):
            key = sample.labels.get(label, "")
            sums[key] = sums.get(key, 0.0) + sample.value
        return sums

    def __repr__(self) -> str:
        return f"Scrape({sorted(self.names())})"


def parse(text: str) -> Scrape:
    """Parse a page in the Prometheus text format; raises ValueError on a bad one."""
    return Scrape(
        [
            Sample(sample.name, dict(sample.labels), sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]
    )


def scrape(port: int, host: str = "127.0.0.1") -> Scrape:
    """Read the page that a process serves on ``port`` now."""
    url = f"http://{host}:{port}/metrics"
    status, body = web.get(url)
    assert status == 200, f"{url}: {status}"
    return parse(body.decode())
