"""A comparison's result as Markdown tables."""

import statistics
from collections.abc import Mapping
from typing import Any, Final

# Each ratio's name, with its label and its goal.
_GOALS: Final = {
    "api_vs_go": ("the API alone / the same in Go", 1.0),
    "gateway_vs_original": ("gateway and API / a plain nginx and Go", 2.0),
    "gateway_vs_fastapi": ("gateway and API / the gateway and FastAPI", 3.0),
}


def markdown(result: Mapping[str, Any]) -> str:
    machine = result["machine"]
    head = (
        f"Measured on {result['date']} by `make bench`: {result['rounds']} rounds of"
        f" {result['seconds']} s in turn, `POST /sum` on {result['connections']} keep-alive"
        " connections. The servers share one core, and `wrk` has another. Logs, metrics, key check"
        f" and limiter are on. {machine['cpu']}, {machine['cores']} cores; {machine['system']};"
        f" Python {machine['python']}, Go {machine['go']}, nginx {machine['nginx']}."
    )
    parts = [
        head,
        ratios(result),
        _table(
            ["", "requests/s", "CPU µs/request", "log bytes/request", "memory, MiB", "ready, ms"],
            [
                [
                    name,
                    f"{statistics.median(one['requests_per_second']):,.0f}",
                    f"{one['cpu_us_per_request']:.0f}",
                    str(one["log_bytes_per_request"]),
                    f"{one['memory_mib']:.0f}",
                    "" if one["ready_ms"] is None else str(one["ready_ms"]),
                ]
                for name, one in result["contestants"].items()
            ],
        ),
        "Latency in milliseconds at half of that rate, measured from the time a request was due:",
        _table(
            ["", "requests/s", "p50", "p99", "p99.9"],
            [
                [name, f"{one['rate']:,}", *(f"{one[p]:.2f}" for p in ("p50", "p99", "p99.9"))]
                for name, one in result["half_load"].items()
            ],
        ),
        "Throughput with a feature, relative to throughput without it:",
        _shares(
            {
                f"{who}: {name}": ratio
                for who, features in result["features"].items()
                for name, ratio in features.items()
            }
        ),
        "Throughput of the gateway, relative to 32 connections, one key and a short body:",
        _shares(
            {
                f"{count} {what.replace('_', ' ')}": ratio
                for what, counts in result["growth"].items()
                for count, ratio in counts.items()
            }
        ),
    ]
    return "\n\n".join(parts) + "\n"


def ratios(result: Mapping[str, Any]) -> str:
    """Return the table of ratios that README.md shows."""
    return _table(
        ["", "median of paired rounds", "least", "most", "goal"],
        [
            [label, *_spread(result["ratios"][name]), _goal(result["ratios"][name]["median"], goal)]
            for name, (label, goal) in _GOALS.items()
        ],
    )


def _goal(median: float, goal: float) -> str:
    return f"≥ {goal:g}" + (": missed" if median < goal else "")


def _shares(shares: Mapping[str, Mapping[str, float]]) -> str:
    rows = [[name, *_spread(ratio)] for name, ratio in shares.items()]
    return _table(["", "median", "least", "most"], rows)


def _spread(ratio: Mapping[str, float]) -> list[str]:
    return [f"{ratio[name]:.2f}" for name in ("median", "min", "max")]


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
