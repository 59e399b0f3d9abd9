"""Prometheus metrics, made on first use. Labels have few values; ids never become labels."""

from __future__ import annotations

from collections.abc import Hashable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

#: The buckets follow the latency budget: the venue's windows are 51, 300, 600 and 3000 ms.
LATENCY_BUCKETS_MS = (1, 2, 5, 10, 25, 50, 100, 250, 300, 600, 1000, 3000)


class Metrics:
    """The counters and histograms of one process."""

    def __init__(self, *, service: str) -> None:
        self._service = service
        self._registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        #: What `labels` found, by name and labels: finding it is most of the work, and there are few.
        self._counted: dict[Hashable, Counter] = {}
        self._observed: dict[Hashable, Histogram] = {}

    def count(self, name: str, labels: dict[str, str] | None = None) -> None:
        """Raise a counter by one."""
        key = (name, *(labels or {}).items())
        if key not in self._counted:
            self._counted[key] = self._counter(name, {"service": self._service, **(labels or {})})
        self._counted[key].inc()

    def observe(self, name: str, milliseconds: float, labels: dict[str, str] | None = None) -> None:
        """Add one duration to a histogram."""
        key = (name, *(labels or {}).items())
        if key not in self._observed:
            self._observed[key] = self._histogram(name, {"service": self._service, **(labels or {})})
        self._observed[key].observe(milliseconds)

    def _counter(self, name: str, labels: dict[str, str]) -> Counter:
        if name not in self._counters:
            self._counters[name] = Counter(
                f"unrip_{name}", name.replace("_", " "), list(labels), registry=self._registry
            )
        return self._counters[name].labels(**labels)

    def _histogram(self, name: str, labels: dict[str, str]) -> Histogram:
        if name not in self._histograms:
            self._histograms[name] = Histogram(
                f"unrip_{name}_ms",
                name.replace("_", " ") + " in milliseconds",
                list(labels),
                registry=self._registry,
                buckets=LATENCY_BUCKETS_MS,
            )
        return self._histograms[name].labels(**labels)

    def text(self) -> bytes:
        """The exposition that `GET /metrics` returns."""
        return generate_latest(self._registry)
