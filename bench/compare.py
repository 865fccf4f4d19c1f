"""Compare the API's throughput with that of the same service in Go.

Both run on one core, the load generator on another; they take turns round by round, so that the
ratio of a round holds however the machine's speed drifts. Access lines go to a file in both.

Needs `wrk` and `taskset` on the PATH; the Go toolchain comes from the package index.
"""

import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import measure

GO_SOURCE: Final = Path(__file__).parent / "go_reference" / "main.go"
SERVER_CORE, LOAD_CORE = 0, 1


def main() -> int:
    """Run the comparison and print it; the exit code is 0 when it could be run."""
    options = measure.options(__doc__, rounds=7, seconds=3, tools=("wrk", "taskset", "go"))
    if len(os.sched_getaffinity(0)) <= LOAD_CORE:
        print("two cores are needed: one for the server, one for the load", file=sys.stderr)
        return 2

    with tempfile.TemporaryDirectory() as directory:
        result = compare(Path(directory), options.rounds, options.seconds)
    print(json.dumps(result, indent=2) if options.json else table(result))
    return 0


def compare(directory: Path, rounds: int, seconds: int) -> dict[str, Any]:
    """Return requests/s of each turn, and the median, least and largest ratio of a round."""
    go = directory / "go_reference"
    subprocess.run(["go", "build", "-o", str(go), str(GO_SOURCE)], check=True)
    contestants = {
        "go": ([str(go)], {"GOMAXPROCS": "1"}),
        "api": ([sys.executable, "-m", "zama_api"], {"READY_DELAY_SECONDS": "0"}),
    }
    with contextlib.ExitStack() as stack:
        urls = {
            name: stack.enter_context(serving(command, settings, directory / name))
            for name, (command, settings) in contestants.items()
        }
        on_its_core = ("taskset", "-c", str(LOAD_CORE))
        for url in urls.values():
            measure.load(url, 1, directory, on_its_core)  # Warm up.
        turns: dict[str, list[float]] = {name: [] for name in urls}
        for number in range(1, rounds + 1):
            print(f"round {number} of {rounds} ...", file=sys.stderr)
            for name, url in urls.items():
                turn = measure.load(url, seconds, directory, on_its_core)
                turns[name].append(turn.requests_per_second)
    ratios = [api / go for api, go in zip(turns["api"], turns["go"], strict=True)]
    return {
        "requests_per_second": turns,
        "ratios": {"api_vs_go": measure.spread(ratios)},
    }


@contextlib.contextmanager
def serving(command: list[str], settings: dict[str, str], log: Path) -> Iterator[str]:
    """Run a contestant on its core while the block runs; yields its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("wb") as lines:
        process = subprocess.Popen(
            ["taskset", "-c", str(SERVER_CORE), *command],
            env={**os.environ, **settings, "PORT": str(port), "DRAIN_SECONDS": "0"},
            stdout=lines,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(100):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/healthz"):
                break
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def table(result: dict[str, Any]) -> str:
    """Return the result as a Markdown table and a line with the ratio."""
    rows = "\n".join(
        f"| {name} | {statistics.median(turns):,.0f} | {min(turns):,.0f} | {max(turns):,.0f} |"
        for name, turns in result["requests_per_second"].items()
    )
    ratio = result["ratios"]["api_vs_go"]
    return (
        "| requests/s on one core | median | min | max |\n| --- | --- | --- | --- |\n"
        f"{rows}\n\napi / go, median of {ratio['rounds']} paired rounds:"
        f" {ratio['median']:.2f} (min {ratio['min']:.2f}, max {ratio['max']:.2f})"
    )


if __name__ == "__main__":
    sys.exit(main())
