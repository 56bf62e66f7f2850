"""Counts and times, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST
_PREFIX = "recbole_mm"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_METHODS = ("GET", "POST", "HEAD", "OPTIONS")


class Metrics:
    """The metrics of one service; its process's memory and CPU are among them."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "requests", "Answers.", ("method", "path", "status"), _PREFIX, registry=registry
        )
        self._seconds = Histogram(
            "request_seconds",
            "Time to an answer.",
            ("path",),
            _PREFIX,
            registry=registry,
            buckets=_SECONDS,
        )
        self._people = Counter(
            "histories",
            "Histories that got recommendations, by what made them.",
            ("by",),
            _PREFIX,
            registry=registry,
        )
        self._unknown = Counter(
            "unknown_items",
            "Items of histories that the export does not know.",
            (),
            _PREFIX,
            registry=registry,
        )
        self._loads = Counter(
            "export_loads", "New exports taken up.", ("result",), _PREFIX, registry=registry
        )
        self.n_items = Gauge("items", "Items of the export.", (), _PREFIX, registry=registry)

    def count(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count an answer: ``path`` as the documentation has it, so that there are few."""
        method = method if method in _METHODS else "other"
        self._requests.labels(method, path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def count_recommended(self, answer: Mapping[str, Any]) -> None:
        """Count the histories of an answer."""
        for result in answer["results"]:
            self._people.labels(result["by"]).inc()
            self._unknown.inc(result["n_unknown"])

    def count_load(self, is_loaded: bool) -> None:
        """Count that an export was taken up, or could not be."""
        self._loads.labels("loaded" if is_loaded else "failed").inc()

    def text(self) -> bytes:
        """Give all of them."""
        return generate_latest(self._registry)
