"""Prometheus metrics, counted from the journal's batches, outside the request path."""

import platform
import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from zama_api.logs import Request

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

# Upper bounds in seconds. 0.1 is the latency objective; the others cover the normal latency (well
# under a millisecond) and that of a stalled service.
BUCKETS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
_BUCKETS_MS: Final = tuple(bound * 1000 for bound in BUCKETS)
_BOUNDS: Final = (*map(str, BUCKETS), "+Inf")

# Callers can invent methods, but labels must not grow with input.
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics(Collector):
    """Counts finished requests and renders the text format.

    Arguments:
        version: the service's version, for `build_info`.

    """

    def __init__(self, version: str) -> None:
        # A list as a counter: append and pop are atomic and need no lock in the request path.
        self.in_progress: list[None] = []
        self._version = version
        self._lock = threading.Lock()
        # (method, route, status, bucket index) to count; all series derive from it.
        self._counts: Counter[tuple[str, str, int, int]] = Counter()
        self._milliseconds: defaultdict[str, float] = defaultdict(float)
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def observe(self, requests: Sequence[Request]) -> None:
        """Count finished requests."""
        with self._lock:
            self._counts.update(
                (
                    request.method if request.method in _METHODS else "other",
                    request.route,
                    request.status,
                    bisect_left(_BUCKETS_MS, request.duration_ms),
                )
                for request in requests
            )
            for request in requests:
                self._milliseconds[request.route] += request.duration_ms

    def render(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the service's own metrics."""
        answered: Counter[tuple[str, str, str]] = Counter()
        buckets: defaultdict[str, list[int]] = defaultdict(lambda: [0] * len(_BOUNDS))
        with self._lock:
            for (method, route, status, bucket), count in self._counts.items():
                answered[method, route, str(status)] += count
                buckets[route][bucket] += count
            milliseconds = dict(self._milliseconds)

        requests = CounterMetricFamily(
            "http_requests", "Requests answered.", labels=("method", "route", "status")
        )
        for labels, count in sorted(answered.items()):
            requests.add_metric(labels, count)
        yield requests

        duration = HistogramMetricFamily(
            "http_request_duration_seconds", "Time to answer.", labels=("route",)
        )
        for route, counts in sorted(buckets.items()):
            cumulative = list(zip(_BOUNDS, accumulate(counts), strict=True))
            duration.add_metric((route,), cumulative, milliseconds[route] / 1000)
        yield duration

        yield CounterMetricFamily(
            "sum_requests", "Requests to /sum, whatever the answer.", sum(buckets.get("/sum", ()))
        )
        yield GaugeMetricFamily(
            "http_requests_in_progress", "Requests being answered now.", len(self.in_progress)
        )
        build = GaugeMetricFamily(
            "build_info", "Always 1; the labels say what runs.", labels=("version", "python")
        )
        build.add_metric((self._version, platform.python_version()), 1)
        yield build
