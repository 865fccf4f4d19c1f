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
# Of the width of Grafana's grid.
_HALF: Final = 12
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
    heights = {panel["gridPos"]["y"]: panel["gridPos"]["h"] for panel in dashboard["panels"]}
    figure = Figure(figsize=(14, 0.26 * sum(heights.values()) + 1), layout="constrained")
    figure.suptitle(title)
    grid = figure.add_gridspec(len(heights), 2, height_ratios=[*heights.values()])
    now = datetime.now(UTC)
    firing, deployed = (
        _query(prometheus, faster_expression(one["expr"], speed), one["titleFormat"], since, now)
        for one in dashboard["annotations"]["list"]
    )
    for panel in dashboard["panels"]:
        series: Series = {}
        for target, expression in zip(panel["targets"], expressions(panel), strict=True):
            query = faster_expression(expression, speed)
            series |= _query(prometheus, query, target["legendFormat"], since, now)
        row = [*heights].index(panel["gridPos"]["y"])
        left, width = (panel["gridPos"][name] // _HALF for name in "xw")
        axes = figure.add_subplot(grid[row, left : left + width])
        if panel["type"] == "state-timeline":
            _draw_states(axes, panel, series)
        else:
            _draw(axes, panel, series)
            for number, (name, (moments, _)) in enumerate(sorted(firing.items())):
                axes.axvspan(moments[0], moments[-1], color="red", alpha=0.06)
                across, height = axes.get_xaxis_transform(), 0.9 - 0.1 * number
                axes.text(moments[0], height, f" {name}", transform=across, fontsize=6, color="red")
        for moments, _ in deployed.values():
            axes.axvline(moments[0], color="blue", linewidth=0.8)
        axes.set_title(panel["title"], loc="left", fontsize=10)
        axes.tick_params(labelsize=8)
        axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M:%S"))
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


def _draw_states(axes: Axes, panel: Mapping[str, Any], series: Series) -> None:
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    states = mapping["options"]
    # The first to begin is on top.
    rows = sorted(series.items(), key=lambda row: row[1][0][0], reverse=True)
    for row, (_, (moments, values)) in enumerate(rows):
        colours = [states[f"{value:g}"]["color"] for value in values]
        axes.scatter(moments, [row] * len(moments), c=colours, marker="s", s=80)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(-0.7, len(rows) - 0.3)


def _draw(axes: Axes, panel: Mapping[str, Any], series: Series) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    custom = defaults["custom"]
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
        (line,) = axes.plot(moments, values, label=name, linewidth=1.2, color=colours.get(name))
        if filled := custom.get("fillOpacity"):
            axes.fill_between(moments, values, color=line.get_color(), alpha=filled / 100)
    for step in defaults["thresholds"]["steps"]:
        if step["value"]:
            axes.axhline(step["value"] * scale, color=step["color"], linewidth=0.8, linestyle="--")
    axes.set_ylabel(_UNITS[defaults["unit"]], fontsize=8)
    axes.set_yscale(custom.get("scaleDistribution", {}).get("type", "linear"))
    axes.grid(alpha=0.3)
    if "min" in defaults:
        # The frame would hide a constant.
        top = defaults["max"] * scale if "max" in defaults else 1.05 * axes.get_ylim()[1]
        axes.set_ylim(defaults["min"], top)
    if moved:
        # Beside the data, as in Grafana.
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
