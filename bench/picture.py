"""A comparison's result as a picture."""

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Draw throughput, latency at half load, and growth."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    figure.suptitle(f"POST /sum, {result['date']}, {result['machine']['cpu']}")
    throughput, latency, growth = figure.subplots(1, 3)
    _draw_throughput(throughput, result["contestants"])
    _draw_latency(latency, result["half_load"])
    _draw_growth(growth, result["growth"]["connections"])
    figure.savefig(path, dpi=120)


def _draw_throughput(axes: Axes, contestants: Mapping[str, Any]) -> None:
    rates = {name: one["requests_per_second"] for name, one in contestants.items()}
    medians = [statistics.median(turns) for turns in rates.values()]
    errors = [
        [median - min(turns) for median, turns in zip(medians, rates.values(), strict=True)],
        [max(turns) - median for median, turns in zip(medians, rates.values(), strict=True)],
    ]
    ours = ["tab:blue" if name in {"api", "gateway"} else "tab:gray" for name in rates]
    axes.barh(list(rates), medians, xerr=errors, color=ours)
    axes.invert_yaxis()
    axes.set_title("requests/s on one core; least, median, most")


def _draw_latency(axes: Axes, half_load: Mapping[str, Any]) -> None:
    for name, one in half_load.items():
        percentiles = [percentile for percentile in one if percentile != "rate"]
        axes.plot(percentiles, [one[percentile] for percentile in percentiles], ".-", label=name)
    axes.set_yscale("log")
    axes.set_title("latency at half that rate, ms")
    axes.legend()
    axes.grid(visible=True, alpha=0.3)


def _draw_growth(axes: Axes, connections: Mapping[str, Mapping[str, float]]) -> None:
    axes.plot(list(connections), [one["median"] for one in connections.values()], ".-")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("connections")
    axes.set_title("gateway and API: share of 32 connections")
    axes.grid(visible=True, alpha=0.3)
