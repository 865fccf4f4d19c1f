"""`python -m zama_api.gateway_metrics`: what the gateway's callers got, as Prometheus metrics.

The API cannot count what never reaches it: refused keys, callers over their limit, its own absence.
nginx itself counts connections only, but can tell a syslog server of each request without waiting
for it. This is that server: lines come in as UDP datagrams, metrics go out over HTTP, both on
METRICS_PORT.
"""

import os
import re
import signal
import socket
import sys
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    start_http_server,
)

from zama_api import config, problems

# Upper bounds in seconds; 0.1 is the latency objective (observability/slo.yaml).
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

# As nginx writes it (includes/metrics.conf), after a syslog header: the route, the status, the
# seconds it took, and 1 if the API was asked twice.
_find_request: Final = re.compile(
    rb"nginx: (/[a-z.]{1,32}|other) ([0-9]{1,3}) ([0-9]{1,6}\.[0-9]{3}) ([01])$"
).search
_LONGEST_LINE: Final = 512
# Lines wait here while this process has no CPU; the kernel gives as much as it allows.
_WAITING_BYTES: Final = 4 * 1024 * 1024
# How long a signal may go unseen that arrives just before the next line is waited for.
_PATIENCE_SECONDS: Final = 0.5


class GatewayMetrics:
    """Counts the gateway's requests.

    Arguments:
        registry: where the metrics are registered.

    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "gateway_requests", "Requests answered.", ("route", "status"), registry=registry
        )
        self._duration = Histogram(
            "gateway_request_duration_seconds",
            "Time from a request's first byte to its answer's last, of those answered with 2xx.",
            ("route",),
            buckets=BUCKETS,
            registry=registry,
        )
        self._retries = Counter(
            "gateway_upstream_retries",
            "Requests that the API answered at the second attempt.",
            registry=registry,
        )
        self._malformed = Counter(
            "gateway_malformed_lines", "Datagrams that are not nginx's.", registry=registry
        )
        # There from the first scrape on: nobody sees a series grow that begins with 1.
        for status in (200, 429, 502, 504, *problems.TITLES):
            self._requests.labels("/sum", status)
        self._duration.labels("/sum")

    def observe(self, line: bytes) -> None:
        """Count the request that one datagram tells of."""
        request = _find_request(line)
        if request is None:
            self._malformed.inc()
            return
        route, status, seconds, retried = (part.decode() for part in request.groups())
        self._requests.labels(route, status).inc()
        if status.startswith("2"):
            self._duration.labels(route).observe(float(seconds))
        if retried == "1" and not status.startswith("5"):
            self._retries.inc()


def main() -> int:
    """Serve until told to stop; the exit code is 0 then, and 2 for settings that cannot be used."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        settings = config.load(os.environ)
    except config.SettingsError as error:
        print(f"gateway-metrics: {error}", file=sys.stderr)
        return 2
    host, port = settings.host, settings.metrics_port
    disable_created_metrics()
    registry = CollectorRegistry()
    metrics = GatewayMetrics(registry)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as lines:
            lines.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WAITING_BYTES)
            lines.settimeout(_PATIENCE_SECONDS)
            # Whoever can send a line can invent requests, so only nginx beside it can.
            lines.bind(("127.0.0.1", port))
            start_http_server(port, host, registry)
            receive(metrics, lines)
    except OSError as error:
        print(f"gateway-metrics: cannot listen on {host}:{port}: {error}", file=sys.stderr)
    return 1


def receive(metrics: GatewayMetrics, lines: socket.socket) -> None:
    """Count what arrives at `lines`, for good."""
    while True:
        try:
            metrics.observe(lines.recv(_LONGEST_LINE))
        except TimeoutError:
            continue


if __name__ == "__main__":
    sys.exit(main())
