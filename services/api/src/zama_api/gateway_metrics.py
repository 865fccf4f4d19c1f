"""`python -m zama_api.gateway_metrics`: what the gateway's callers got, as Prometheus metrics.

The API cannot count what never reaches it: refused keys, callers over their limit, its own absence.
nginx itself counts connections only, but can tell a syslog server of each request without waiting
for it. This is that server: lines come in as UDP datagrams, metrics go out over HTTP, both on PORT.
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
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from zama_api import config, problems

# Upper bounds in seconds; 0.1 is the latency objective (observability/slo.yaml).
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_BOUNDS: Final = (*map(str, BUCKETS), "+Inf")

# As nginx writes it (includes/metrics.conf): the route, the status, the seconds it took, and 1 if
# the API was asked twice. Before that comes a syslog header, which ends with the tag.
_parse: Final = re.compile(
    rb"(/[a-z.]{1,32}|probe|other) ([0-9]{1,3}) ([0-9]{1,6}\.[0-9]{3}) ([01])"
).fullmatch
_TAG: Final = b" nginx: "
_LONGEST_LINE: Final = 512
# Different lines that are kept until somebody asks; a usual day has some hundreds.
_CAPACITY: Final = 10_000
# Lines wait here while this process has no CPU; the kernel gives as much as it allows.
_WAITING_BYTES: Final = 4 * 1024 * 1024
# Lines gather for so long before they are read: every time that this process wakes up, the gateway
# beside it loses the CPU. The kernel keeps some 500 lines by default, 5 ms of 100,000 requests/s.
_GATHERING_SECONDS: Final = 0.005
# How long a signal may go unseen that arrives just before the next line is waited for.
_PATIENCE_SECONDS: Final = 0.5


class GatewayMetrics(Collector):
    """Counts the gateway's requests.

    Most lines are equal to many others: they are counted as they come, and understood when somebody
    asks. A request costs a fraction of what it would if its line were taken apart at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: Counter[bytes] = Counter()
        # There from the first scrape on: nobody sees a series grow that begins with 1.
        statuses = (200, 429, 502, 504, *problems.TITLES)
        self._requests = Counter({("/sum", str(status)): 0 for status in statuses})
        # Of each route, for each bucket; only answers with 2xx have a time.
        self._buckets = defaultdict(lambda: [0] * len(_BOUNDS), {"/sum": [0] * len(_BOUNDS)})
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._retries = self._malformed = 0

    def observe(self, line: bytes) -> None:
        """Count the request that one datagram tells of."""
        with self._lock:
            self._lines[line.partition(_TAG)[2]] += 1
            if len(self._lines) >= _CAPACITY:
                self._count_lines()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        requests = CounterMetricFamily(
            "gateway_requests", "Requests answered.", labels=("route", "status")
        )
        duration = HistogramMetricFamily(
            "gateway_request_duration_seconds",
            "Time from a request's first byte to its answer's last, of those answered with 2xx.",
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
        yield CounterMetricFamily(
            "gateway_malformed_lines", "Datagrams that are not nginx's.", malformed
        )

    def _count_lines(self) -> None:
        """Take the lines apart; called with the lock."""
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
    """Serve until told to stop; the exit code is 0 then, and 2 for settings that cannot be used."""
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
            # Whoever can send a line can invent requests, so only nginx beside it can.
            lines.bind(("127.0.0.1", port))
            start_http_server(port, host, registry)
            receive(metrics, lines)
    except OSError as error:
        print(f"gateway-metrics: cannot listen on {host}:{port}: {error}", file=sys.stderr)
    return 1


def receive(metrics: GatewayMetrics, lines: socket.socket) -> None:
    """Count what arrives at `lines`, which does not block, for good."""
    while True:
        if not select.select([lines], [], [], _PATIENCE_SECONDS)[0]:
            continue
        time.sleep(_GATHERING_SECONDS)
        with contextlib.suppress(BlockingIOError):
            while True:
                metrics.observe(lines.recv(_LONGEST_LINE))


if __name__ == "__main__":
    sys.exit(main())
