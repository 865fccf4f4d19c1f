"""Route 53 health checks that really ask.

https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html

One checker asks from each region; AWS has several. Only endpoints behind a load balancer of this
account are asked: everything else counts as failing, because requests must stay on this machine.
"""

import http.client
import os
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from ministack.services import alb, route53

from zama_emulator.metrics import Meter

_NAMESPACE: Final = "AWS/Route53"
_HOST: Final = "127.0.0.1"
# The endpoint must answer within 2 s of the connection, which must take no more than 4 s.
_TIMEOUT_SECONDS: Final = 4
# An endpoint is healthy if more than this share of the checkers find it healthy.
_SHARE: Final = 0.18
_REGIONS: Final = (
    "us-east-1", "us-west-1", "us-west-2", "eu-west-1",
    "ap-southeast-1", "ap-southeast-2", "ap-northeast-1", "sa-east-1",
)  # fmt: skip


@dataclass
class Checker:
    """The checker of one region: its opinion, and the results in a row that contradict it."""

    healthy: bool = True
    against: int = 0

    def learn(self, passed: bool, threshold: int) -> None:
        """Change the opinion after `threshold` contrary results in a row."""
        self.against = 0 if passed == self.healthy else self.against + 1
        if self.against >= threshold:
            self.healthy, self.against = passed, 0


@dataclass
class Probe:
    """A health check: its checkers by region, and when it asks next."""

    checkers: dict[str, Checker] = field(default_factory=dict)
    due: float = 0.0

    def percentage(self) -> float:
        """Return the percentage of the checkers that find the endpoint healthy."""
        return 100 * sum(one.healthy for one in self.checkers.values()) / len(self.checkers)

    def healthy(self) -> bool:
        """Say whether Route 53 considers the endpoint healthy."""
        return self.percentage() > 100 * _SHARE


class Probes:
    """All health checks of the account."""

    def __init__(self) -> None:
        self._probes: dict[str, Probe] = {}
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="zama-probe")

    def ask(self, now: float) -> None:
        """Send the requests that are due; `now` is in seconds of AWS."""
        checks = {one["id"]: one["config"] for one in list(route53._health_checks.values())}
        # The checkers learn of a new health check after a while.
        self._probes = {
            name: self._probes.get(name, Probe(due=now + config.get("RequestInterval", 30)))
            for name, config in checks.items()
        }
        for name, probe in self._probes.items():
            config = checks[name]
            regions = config.get("Regions") or _REGIONS
            # A disabled health check asks nobody, and counts as healthy.
            if config.get("Disabled") or config["Type"] not in {"HTTP", "HTTPS"}:
                probe.checkers = {region: Checker() for region in regions}
            elif now >= probe.due:
                probe.due = max(probe.due + config.get("RequestInterval", 30), now)
                for region in regions:
                    checker = probe.checkers.setdefault(region, Checker())
                    self._pool.submit(_check, config, checker)

    def publish(self, into: Meter) -> None:
        """Add each health check's status to a minute's metrics."""
        for name, probe in self._probes.items():
            if probe.checkers:
                values = {
                    "HealthCheckStatus": float(probe.healthy()),
                    "HealthCheckPercentageHealthy": probe.percentage(),
                }
                into.add(_NAMESPACE, {"HealthCheckId": name}, values)

    def close(self) -> None:
        """Send no more requests."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _check(config: dict[str, Any], checker: Checker) -> None:
    checker.learn(_passes(config), config.get("FailureThreshold", 3))


def _passes(config: dict[str, Any]) -> bool:
    host = config.get("FullyQualifiedDomainName", "")
    if alb.find_lb_for_host(host) is None:
        return False
    port = int(os.environ["GATEWAY_PORT"])
    connection: http.client.HTTPConnection
    if config["Type"] == "HTTPS":
        # Route 53 does not validate certificates.
        context = ssl._create_unverified_context()  # noqa: S323 - as AWS does
        connection = http.client.HTTPSConnection(
            _HOST, port + 1, timeout=_TIMEOUT_SECONDS, context=context
        )
    else:
        connection = http.client.HTTPConnection(_HOST, port, timeout=_TIMEOUT_SECONDS)
    try:
        headers = {"Host": host, "User-Agent": "Amazon-Route53-Health-Check-Service"}
        connection.request("GET", config.get("ResourcePath", "/"), headers=headers)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return 200 <= answer.status < 400
