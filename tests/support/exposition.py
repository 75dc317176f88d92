"""Read `/metrics` of a service with Prometheus' parser."""

from __future__ import annotations

from collections.abc import Iterable

import httpx
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


class Exposition:
    """The families of one scrape."""

    def __init__(self, text: str) -> None:
        self.families: list[Metric] = list(text_string_to_metric_families(text))

    def value(self, sample: str, **labels: str) -> float:
        """The sum of a sample over all label sets that hold these labels; 0 if there is none."""
        match = [other for other in self._samples() if other.name == sample and labels.items() <= other.labels.items()]
        return sum(other.value for other in match)

    def label_values(self) -> set[str]:
        """Every value of every label."""
        return {value for sample in self._samples() for value in sample.labels.values()}

    def _samples(self) -> Iterable[Sample]:
        return (sample for family in self.families for sample in family.samples)


async def scrape(client: httpx.AsyncClient) -> Exposition:
    """`GET /metrics`."""
    response = await client.get("/metrics")
    response.raise_for_status()
    return Exposition(response.text)
