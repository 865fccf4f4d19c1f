"""Metrics that AWS's services publish in CloudWatch, minute by minute."""

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from ministack.services import cloudwatch

_DIGITS: Final = 4


class Metric(NamedTuple):
    """A metric: namespace, name, and sorted dimensions."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]


class Meter:
    """The values of the current minute, by metric, each with its count."""

    def __init__(self) -> None:
        self._values: dict[Metric, Counter[float]] = {}
        self._lock = threading.Lock()

    def add(
        self, namespace: str, dimensions: Mapping[str, str], values: Mapping[str, float]
    ) -> None:
        """Add a value to each of the metrics, which share namespace and dimensions."""
        key = tuple(sorted(dimensions.items()))
        with self._lock:
            for name, value in values.items():
                counted = self._values.setdefault(Metric(namespace, name, key), Counter())
                # Rounded, so that a minute of many requests has few different values.
                counted[float(f"{value:.{_DIGITS}g}")] += 1

    def take(self) -> dict[Metric, Counter[float]]:
        """Return the values, and begin the next minute."""
        with self._lock:
            taken, self._values = self._values, {}
        return taken


meter: Final = Meter()


def store(values: Mapping[Metric, Mapping[float, int]], moment: float) -> None:
    """Store a minute's values in the CloudWatch of the current account and region."""
    for metric, counted in values.items():
        dimensions = dict(metric.dimensions)
        key = (metric.namespace, metric.name, cloudwatch._dims_key(dimensions))
        points: list[dict[str, Any]] = cloudwatch._metric_bucket(key)
        points.extend(
            {
                "Timestamp": moment,
                "Value": value,
                "Count": float(count),
                "Unit": "None",
                "Dimensions": dimensions,
            }
            for value, count in counted.items()
        )
