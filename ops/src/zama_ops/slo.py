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
# yamllint disable

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
        groups = [
            {
                "name": objective.name,
                "interval": "1m",
                "rules": [*self._recordings(objective), *self._alerts(objective)],
            }
            for objective in self.objectives
        ]
        return _HEAD + yaml.safe_dump({"groups": groups}, sort_keys=False, width=10_000)

    def _recordings(self, objective: Objective) -> Iterator[dict[str, Any]]:
        def recording(name: str, expression: str) -> dict[str, Any]:
            return {
                "record": f"service:{name}",
                "expr": expression,
                "labels": {"objective": objective.name},
            }

        ours = f'{{objective="{objective.name}"}}'
        shortest, fastest = self.windows[0], self.burn_rates[0].long
        for window in self.windows:
            counts = (
                objective.counts(window)
                if _hours(window) <= _LONGEST_COUNTED_HOURS
                else objective.added_up(window, shortest)
            )
            for name, expression in zip(("requests", "bad_requests"), counts, strict=True):
                yield recording(f"{name}:increase{window}", expression)
            yield recording(
                f"bad_requests:ratio_rate{window}",
                f"service:bad_requests:increase{window}{ours}"
                f" / (service:requests:increase{window}{ours} > 0)",
            )
        ratio, budget = "service:bad_requests:ratio_rate", f"{objective.budget:g}"
        yield recording(
            f"error_budget:remaining{self.window}", f"1 - {ratio}{self.window}{ours} / {budget}"
        )
        yield recording(f"error_budget:burn_rate{fastest}", f"{ratio}{fastest}{ours} / {budget}")

    def _alerts(self, objective: Objective) -> Iterator[dict[str, Any]]:
        ours = f'{{objective="{objective.name}"}}'
        name = f"{objective.name.capitalize()}BudgetBurn"
        for rate in self.burn_rates:
            threshold = f"{rate.factor * objective.budget:g}"
            lasts = _duration(_hours(self.window) / rate.factor)
            yield {
                "alert": name,
                "expr": f"service:bad_requests:ratio_rate{rate.long}{ours} > {threshold}"
                f" and service:bad_requests:ratio_rate{rate.short}{ours} > {threshold}"
                f" and service:bad_requests:increase{rate.long}{ours} >= {self.least_bad_requests}",
                "labels": {"severity": rate.severity, "window": rate.long},
                "annotations": {
                    "summary": f"The {objective.name} budget of {self.window} is being used up at"
                    f" {rate.factor:g} times its speed",
                    "description": f"{objective.promise} In the last {rate.long}"
                    " {{ $value | humanizePercentage }} were bad;"
                    f" {objective.budget * 100:g} % may be."
                    f" At this speed a full budget lasts {lasts}.",
                    "runbook_url": f"{self.runbooks}/{name}.md",
                },
            }


def _hours(duration: str) -> float:
    return int(duration[:-1]) * _HOURS[duration[-1]]


def _duration(hours: float) -> str:
    return f"{hours / 24:g} days" if hours >= 72 else f"{hours:g} hours"


if __name__ == "__main__":
    RULES.write_text(ServiceLevels.load().rules())
