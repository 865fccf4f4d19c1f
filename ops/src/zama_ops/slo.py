"""The service levels of observability/slo.yaml, and Prometheus' rules made of them.

`python -m zama_ops.slo` (`make slo`) writes observability/prometheus/rules/slo.yaml.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import yaml

from zama_ops.paths import OBSERVABILITY

OBJECTIVES: Final = OBSERVABILITY / "slo.yaml"
RULES: Final = OBSERVABILITY / "prometheus" / "rules" / "slo.yaml"

_HEAD: Final = """\
# Generated from observability/slo.yaml by `make slo`: change that, not this.
#
# Requests and bad requests are counted over each window and then divided, over all tasks at once.
# Health checks are not callers' requests. Over more than 6 hours the shortest windows are added up:
# the raw samples of a month are millions, and Managed Prometheus bills each that a rule reads.
# yamllint disable rule:line-length

groups:
"""
_GROUP: Final = """\
  - name: {objective}
    interval: 1m
    rules:
"""
_RECORDINGS: Final = """\
      - record: service:requests:increase{window}
        expr: {requests}
        labels: {{objective: {objective}}}
      - record: service:bad_requests:increase{window}
        expr: {bad_requests}
        labels: {{objective: {objective}}}
      - record: service:bad_requests:ratio_rate{window}
        expr: >-
          service:bad_requests:increase{window}{{objective="{objective}"}}
          / (service:requests:increase{window}{{objective="{objective}"}} > 0)
        labels: {{objective: {objective}}}
"""
_BUDGET: Final = """\
      - record: service:error_budget:remaining{window}
        expr: 1 - service:bad_requests:ratio_rate{window}{{objective="{objective}"}} / {budget:g}
        labels: {{objective: {objective}}}
      - record: service:error_budget:burn_rate{fastest}
        expr: service:bad_requests:ratio_rate{fastest}{{objective="{objective}"}} / {budget:g}
        labels: {{objective: {objective}}}
"""
_ALERT: Final = """\
      - alert: {name}BudgetBurn
        expr: >-
          service:bad_requests:ratio_rate{long}{{objective="{objective}"}} > {threshold}
          and service:bad_requests:ratio_rate{short}{{objective="{objective}"}} > {threshold}
          and service:bad_requests:increase{long}{{objective="{objective}"}} >= {least}
        labels: {{severity: {severity}, window: {long}}}
        annotations:
          summary: The {objective} budget of {window} is being used up at {factor:g} times its speed
          description: >-
            {promise}
            In the last {long} {{{{ $value | humanizePercentage }}}} were bad; {budget:g} % may be.
            At this speed a full budget lasts {lasts}.
          runbook_url: {runbooks}/{name}BudgetBurn.md
"""

_HOURS: Final = {"m": 1 / 60, "h": 1, "d": 24}
_LONGEST_COUNTED_HOURS: Final = 6


@dataclass(frozen=True)
class BurnRate:
    """A speed of using up the budget, and who is told: `page` wakes somebody, `ticket` waits.

    `long` and `short` are Prometheus durations.
    """

    factor: float
    long: str
    short: str
    severity: str


@dataclass(frozen=True)
class Objective:
    """A promise, in words and as the share of requests that keep it.

    With `threshold_seconds` it is about how long an answer takes, else about server errors.
    """

    name: str
    promise: str
    target: float
    threshold_seconds: float | None = None

    @property
    def budget(self) -> float:
        """The share of requests that may be bad."""
        return round(1 - self.target, 9)

    def counts(self, window: str) -> tuple[str, str]:
        """Return the PromQL of all requests, and of the bad ones, counted within `window`."""
        if self.threshold_seconds is None:
            ours = 'route!~"/healthz|/readyz"'
            every = f"sum(increase(gateway_requests_total{{{ours}}}[{window}]))"
            return every, every.replace("}", ',status=~"5.."}')
        seconds = "gateway_request_duration_seconds"
        every = f'sum(increase({seconds}_count{{route="/sum"}}[{window}]))'
        good = (
            f'sum(increase({seconds}_bucket{{route="/sum",le="{self.threshold_seconds:g}"}}'
            f"[{window}]))"
        )
        return every, f"{every} - {good}"

    def added_up(self, window: str, shortest: str) -> tuple[str, str]:
        """Return the PromQL of the same two, added up from what was recorded of `shortest`."""
        requests, bad_requests = (
            f'sum_over_time(service:{which}:increase{shortest}{{objective="{self.name}"}}'
            f"[{window}:{shortest}])"
            for which in ("requests", "bad_requests")
        )
        return requests, bad_requests


@dataclass(frozen=True)
class ServiceLevels:
    """All of slo.yaml."""

    window: str
    objectives: tuple[Objective, ...]
    burn_rates: tuple[BurnRate, ...]
    least_bad_requests: int
    runbooks: str

    @classmethod
    def load(cls, path: Path = OBJECTIVES) -> Self:
        """Read slo.yaml.

        Raises:
            ValueError: it does not state what it must.

        """
        stated: Mapping[str, Any] = yaml.safe_load(path.read_text())
        try:
            levels = cls(
                **{
                    **stated,
                    "objectives": tuple(
                        Objective(name, **one) for name, one in stated["objectives"].items()
                    ),
                    "burn_rates": tuple(BurnRate(**one) for one in stated["burn_rates"]),
                }
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{path.name} lacks something, or has too much: {error}") from error
        for objective in levels.objectives:
            if not 0 < objective.target < 1:
                raise ValueError(
                    f"{path.name}: the target of {objective.name} is {objective.target}, but it"
                    " must lie between 0 and 1, such as 0.999"
                )
        return levels

    @property
    def windows(self) -> list[str]:
        """All windows, shortest first."""
        durations = {
            self.window,
            *(rate.long for rate in self.burn_rates),
            *(rate.short for rate in self.burn_rates),
        }
        return sorted(durations, key=_hours)

    def rules(self) -> str:
        """Return Prometheus' rules, as YAML."""
        return "".join((_HEAD, *self._parts()))

    def _parts(self) -> Iterator[str]:
        for objective in self.objectives:
            yield _GROUP.format(objective=objective.name)
            shortest = self.windows[0]
            for window in self.windows:
                requests, bad_requests = (
                    objective.counts(window)
                    if _hours(window) <= _LONGEST_COUNTED_HOURS
                    else objective.added_up(window, shortest)
                )
                yield _RECORDINGS.format(
                    objective=objective.name,
                    window=window,
                    requests=requests,
                    bad_requests=bad_requests,
                )
            yield _BUDGET.format(
                objective=objective.name,
                window=self.window,
                fastest=self.burn_rates[0].long,
                budget=objective.budget,
            )
            for rate in self.burn_rates:
                yield _ALERT.format(
                    name=objective.name.capitalize(),
                    objective=objective.name,
                    promise=objective.promise,
                    factor=rate.factor,
                    threshold=f"{rate.factor * objective.budget:g}",
                    budget=objective.budget * 100,
                    long=rate.long,
                    short=rate.short,
                    severity=rate.severity,
                    least=self.least_bad_requests,
                    window=self.window,
                    lasts=_duration(_hours(self.window) / rate.factor),
                    runbooks=self.runbooks,
                )


def _hours(duration: str) -> float:
    return int(duration[:-1]) * _HOURS[duration[-1]]


def _duration(hours: float) -> str:
    return f"{hours / 24:g} days" if hours >= 72 else f"{hours:g} hours"


if __name__ == "__main__":
    RULES.write_text(ServiceLevels.load().rules())
