"""Compare a pair with the limits of a Fargate task with the same pair without CPU limits.

The compose stack has the limits of the smallest task, 0.25 vCPU and 512 MiB for both containers.
Each round measures the pair with these limits and without CPU limits, over the loopback address.

Needs `wrk`, `docker` and `docker-compose` on the PATH.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import measure
from zama_ops.container_images import base_images
from zama_ops.container_images import compose as docker_compose
from zama_ops.http_client import HttpClient
from zama_ops.programs import wait_until

ROOT: Final = Path(__file__).parents[1]
PROJECT: Final = "zama-bench"
PORT: Final = "18081"
URL: Final = f"http://127.0.0.1:{PORT}"
# Shares of a vCPU, as in docker-compose.yaml.
TASK: Final = {"api": 0.15, "nginx": 0.10}


def main() -> int:
    """Run the comparison and print it; exit code 0: the comparison was run."""
    tools = ("wrk", "docker")
    options = measure.options(__doc__, rounds=5, seconds=5, tools=tools)
    compose("up", "-d", "--build")
    try:
        wait_until(lambda: HttpClient(URL).is_ready(), "the pair is ready", seconds=30)
        with tempfile.TemporaryDirectory() as directory:
            turns = alternate(options.rounds, options.seconds, Path(directory))
    finally:
        compose("down")
    result = summary(turns)
    print(json.dumps(result, indent=2) if options.json else table(result))
    return 0


def compose(*words: str, **more: str) -> str:
    """Run docker-compose on the project's file, with more settings, and return its output."""
    settings = {
        **base_images(),
        "GATEWAY_PORT_PUBLISHED": PORT,
        "API_PORT_PUBLISHED": "18080",
        "RATE_LIMIT": "100000",
        "RATE_BURST": "100000",
        "DRAIN_SECONDS": "0",
        **more,
    }
    done = subprocess.run(
        [*docker_compose(), "--project-name", PROJECT, *words],
        cwd=ROOT,
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def limit(cpus: dict[str, float]) -> None:
    """Limit each container to a share of a vCPU."""
    for service, share in cpus.items():
        container = compose("ps", "-q", service).strip()
        command = ["docker", "update", "--cpus", str(share), container]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def alternate(rounds: int, seconds: int, directory: Path) -> dict[str, list[measure.Turn]]:
    """Load the pair alternately with and without its limits."""
    cores = float(os.cpu_count() or 1)
    limits = {"task": TASK, "unlimited": dict.fromkeys(TASK, cores)}
    turns: dict[str, list[measure.Turn]] = {name: [] for name in limits}
    for number in range(1, rounds + 1):
        print(f"round {number} of {rounds} ...", file=sys.stderr)
        for name, cpus in limits.items():
            limit(cpus)
            measure.load(URL, 1, directory)  # let the limit take effect
            turns[name].append(measure.load(URL, seconds, directory))
    return turns


def summary(turns: dict[str, list[measure.Turn]]) -> dict[str, Any]:
    """Return the medians, and the median, smallest and largest ratio within a round."""
    medians: dict[str, dict[str, float]] = {name: {} for name in turns}
    ratios = {}
    for figure in ("requests_per_second", "p99_ms"):
        values = {name: [getattr(turn, figure) for turn in some] for name, some in turns.items()}
        for name, some in values.items():
            medians[name][figure] = statistics.median(some)
        pairs = zip(values["task"], values["unlimited"], strict=True)
        ratios[figure] = measure.spread([task / free for task, free in pairs])
    return {"medians": medians, "ratios": ratios}


def table(result: dict[str, Any]) -> str:
    rows = [
        "| median | requests/s | p99, ms |",
        "| --- | --- | --- |",
        *(
            f"| {name} | {one['requests_per_second']:,.0f} | {one['p99_ms']:.1f} |"
            for name, one in result["medians"].items()
        ),
    ]
    cells = [
        f"{ratio['median']:.3f} ({ratio['min']:.3f} to {ratio['max']:.3f})"
        for ratio in result["ratios"].values()
    ]
    return "\n".join([*rows, f"| task / unlimited | {cells[0]} | {cells[1]} |"])


if __name__ == "__main__":
    sys.exit(main())
