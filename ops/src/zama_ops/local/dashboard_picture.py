"""Draws the Grafana dashboard to a file, with data from a running Prometheus."""

import json
import re
import urllib.parse
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zama_ops.http_client import HttpClient
from zama_ops.local.sandbox import expressions, faster_expression
from zama_ops.paths import DASHBOARD

_SAMPLES: Final = 240
_UNITS: Final = {
    "bytes": "MiB",
    "none": "",
    "percentunit": "%",
    "reqps": "requests/s",
    "s": "ms",
}
_SCALES: Final = {"bytes": 2.0**-20, "percentunit": 100.0, "s": 1000.0}

# Names to times, as matplotlib dates, and values.
Series = dict[str, tuple[list[float], list[float]]]


def draw(prometheus: str, since: datetime, speed: float, title: str, path: Path) -> None:
    """Draw every panel of the dashboard since a moment to a PNG, with its annotations.

    A band names the page that fires, and a line a new version. `speed` is the divisor of the rules'
    durations.
    """
    dashboard = json.loads(DASHBOARD.read_text())
    panels = dashboard["panels"]
    figure = Figure(figsize=(14, 2.1 * len(panels) / 2 + 1), layout="constrained")
    figure.suptitle(title)
    now = datetime.now(UTC)
    firing, deployed = (
        _query(prometheus, faster_expression(one["expr"], speed), one["titleFormat"], since, now)
        for one in dashboard["annotations"]["list"]
    )
    for panel, axes in zip(panels, figure.subplots(-(-len(panels) // 2), 2).flat, strict=False):
        series: Series = {}
        for target, expression in zip(panel["targets"], expressions(panel), strict=True):
            query = faster_expression(expression, speed)
            series |= _query(prometheus, query, target["legendFormat"], since, now)
        _draw(axes, panel, series)
        for number, (name, (moments, _)) in enumerate(sorted(firing.items())):
            axes.axvspan(moments[0], moments[-1], color="red", alpha=0.06)
            place = {"transform": axes.get_xaxis_transform(), "fontsize": 6, "color": "red"}
            axes.text(moments[0], 0.93 - 0.09 * number, f" {name}", **place)
        for moments, _ in deployed.values():
            axes.axvline(moments[0], color="blue", linewidth=0.8)
        axes.set_xlim(dates.date2num(since), dates.date2num(now))
    figure.savefig(path, dpi=100)


def _query(prometheus: str, query: str, legend: str, since: datetime, until: datetime) -> Series:
    step = max(0.5, (until - since).total_seconds() / _SAMPLES)
    parameters = {
        "query": query,
        "start": since.timestamp(),
        "end": until.timestamp(),
        "step": f"{step:.3f}",
    }
    path = f"/api/v1/query_range?{urllib.parse.urlencode(parameters)}"
    results = HttpClient(prometheus, timeout=30).send("GET", path).json()["data"]["result"]
    return {
        _name(legend, result["metric"]): (
            [dates.date2num(datetime.fromtimestamp(moment, UTC)) for moment, _ in result["values"]],
            [float(value) for _, value in result["values"]],
        )
        for result in results
    }


def _name(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), legend)


def _draw(axes: Axes, panel: Mapping[str, Any], series: Series) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    scale = _SCALES.get(defaults["unit"], 1.0)
    moved = {
        name: (moments, [value * scale for value in values])
        for name, (moments, values) in series.items()
    }
    colours = {
        one["matcher"]["options"]: one["properties"][0]["value"]["fixedColor"]
        for one in panel["fieldConfig"]["overrides"]
    }
    for name, (moments, values) in sorted(moved.items()):
        axes.plot(moments, values, label=name, linewidth=1.2, color=colours.get(name))
    for step in defaults["thresholds"]["steps"]:
        if step["value"]:
            axes.axhline(step["value"] * scale, color=step["color"], linewidth=0.8, linestyle="--")
    axes.set_title(panel["title"], loc="left", fontsize=10)
    axes.set_ylabel(_UNITS[defaults["unit"]], fontsize=8)
    axes.tick_params(labelsize=8)
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M:%S"))
    axes.grid(alpha=0.3)
    if "min" in defaults:
        axes.set_ylim(bottom=defaults["min"])
    if moved:
        # Beside the data, as in Grafana.
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
