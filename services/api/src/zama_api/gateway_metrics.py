"""`python -m zama_api.gateway_metrics`: Prometheus metrics of the gateway's responses.

The API cannot count requests that never reach it: refused keys, callers over their limit, requests
while it is down. nginx itself counts only connections, but can send a line for each request to a
syslog server without waiting for it. This program is that server: it receives lines as UDP
datagrams and serves metrics over HTTP, both on PORT.
"""

import contextlib
import os
import re
import select
import signal
import socket
import sys
import threading
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from zama_api import config, problems

# Upper bounds in seconds; 0.1 is the latency objective (observability/slo.yaml).
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_BOUNDS: Final = (*map(str, BUCKETS), "+Inf")

# nginx's line (includes/metrics.conf): route, status, the API's time in seconds, and 1 if the
# request was sent to the API twice. A syslog header that ends with the tag precedes it.
_parse: Final = re.compile(
    rb"(/[a-z.]{1,32}|probe|other) ([0-9]{1,3}|499_late) ([0-9]{1,6}\.[0-9]{3}) ([01])"
).fullmatch
# A sample of the connections that nginx has open.
_parse_connections: Final = re.compile(rb"connections ([0-9]{1,7})").fullmatch
_TAG: Final = b" nginx: "
_LONGEST_LINE: Final = 512
# The most distinct lines kept between scrapes; a normal day has a few hundred.
_CAPACITY: Final = 10_000
# The buffer for lines that arrive while this process has no CPU; the kernel can limit it.
_WAITING_BYTES: Final = 4 * 1024 * 1024
# Let lines gather before reading them: each time this process wakes up, it takes the CPU from the
# gateway. The kernel buffers about 500 lines by default, 5 ms at 100,000 requests/s.
_GATHERING_SECONDS: Final = 0.005
# The longest delay of a signal that arrives just before `select`.
_PATIENCE_SECONDS: Final = 0.5


class GatewayMetrics(Collector):
    """Counts the gateway's requests.

    Most lines are equal to many others. They are counted when they arrive and parsed at the next
    scrape, which makes a request much cheaper than parsing every line.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: Counter[bytes] = Counter()
        # Present from the first scrape: a series that starts at 1 would hide its first increase.
        # `499_late`: the caller gave up after more than a second.
        statuses = (200, 429, "499_late", 502, 504, *problems.TITLES)
        self._requests = Counter({("/sum", str(status)): 0 for status in statuses})
        # By route, a count for each bucket; only 2xx answers are timed.
        self._buckets = defaultdict(lambda: [0] * len(_BOUNDS), {"/sum": [0] * len(_BOUNDS)})
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._retries = self._malformed = 0
        self._connections: int | None = None

    def observe(self, line: bytes) -> None:
        """Count the request in a datagram, or note the number of connections."""
        line = line.partition(_TAG)[2]
        if connections := line.startswith(b"c") and _parse_connections(line):
            self._connections = int(connections[1])
            return
        with self._lock:
            self._lines[line] += 1
            if len(self._lines) >= _CAPACITY:
                self._count_lines()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        requests = CounterMetricFamily(
            "gateway_requests", "Requests answered.", labels=("route", "status")
        )
        duration = HistogramMetricFamily(
            "gateway_request_duration_seconds",
            "Time of the API, or of the gateway if it answered itself, for 2xx answers.",
            labels=("route",),
        )
        with self._lock:
            self._count_lines()
            for labels, count in sorted(self._requests.items()):
                requests.add_metric(labels, count)
            for route, counts in sorted(self._buckets.items()):
                cumulative = list(zip(_BOUNDS, accumulate(counts), strict=True))
                duration.add_metric((route,), cumulative, self._seconds[route])
            retries, malformed = self._retries, self._malformed
        yield requests
        yield duration
        yield CounterMetricFamily(
            "gateway_upstream_retries",
            "Requests that the API answered at the second attempt.",
            retries,
        )
        if self._connections is not None:
            yield GaugeMetricFamily(
                "gateway_connections", "Open connections of callers.", self._connections
            )
        yield CounterMetricFamily(
            "gateway_malformed_lines", "Datagrams that are not nginx's.", malformed
        )

    def _count_lines(self) -> None:
        """Parse the lines; the caller holds the lock."""
        for line, count in self._lines.items():
            match = _parse(line)
            if match is None:
                self._malformed += count
                continue
            route, status, seconds, retried = (part.decode() for part in match.groups())
            self._requests[route, status] += count
            if status.startswith("2"):
                self._buckets[route][bisect_left(BUCKETS, float(seconds))] += count
                self._seconds[route] += float(seconds) * count
            if retried == "1" and not status.startswith("5"):
                self._retries += count
        self._lines.clear()


def main() -> int:
    """Serve until a signal; exit code 0: stopped, 1: cannot listen, 2: invalid settings."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        settings = config.load(os.environ)
    except config.SettingsError as error:
        print(f"gateway-metrics: {error}", file=sys.stderr)
        return 2
    host, port = settings.host, settings.port
    registry = CollectorRegistry()
    metrics = GatewayMetrics()
    registry.register(metrics)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as lines:
            lines.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WAITING_BYTES)
            lines.settimeout(0)
            # Only local senders: anyone who can send a line can invent requests.
            lines.bind(("127.0.0.1", port))
            start_http_server(port, host, registry)
            receive(metrics, lines)
    except OSError as error:
        print(f"gateway-metrics: cannot listen on {host}:{port}: {error}", file=sys.stderr)
    return 1


def receive(metrics: GatewayMetrics, lines: socket.socket) -> None:
    """Count the datagrams from the non-blocking socket `lines`, forever."""
    while True:
        if not select.select([lines], [], [], _PATIENCE_SECONDS)[0]:
            continue
        time.sleep(_GATHERING_SECONDS)
        with contextlib.suppress(BlockingIOError):
            while True:
                metrics.observe(lines.recv(_LONGEST_LINE))


if __name__ == "__main__":
    sys.exit(main())
