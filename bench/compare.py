"""Compare this service with equivalents in Go and FastAPI, and with the limits of nginx itself.

All contestants run on one core and the load generator on another. They take turns in each round, so
that the ratios within a round do not depend on drift in the machine's speed. Logs go to files.

Needs `wrk` and `taskset` on the PATH; the Go toolchain and FastAPI come from the package index.
Writes bench/results/DATE.json, .md and .png. Takes about eight minutes.
"""

import json
import os
import platform
import re
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import measure
import picture
import report
from contestants import (
    API_FEATURES,
    GATEWAY_FEATURES,
    KEY,
    LOAD_CORE,
    NGINX,
    ON_LOAD_CORE,
    Contestant,
    Starter,
)
from zama_ops.load_generator import Plan, percentiles
from zama_ops.load_generator import measure as send_on_schedule
from zama_ops.programs import Programs

RESULTS: Final = Path(__file__).parent / "results"
STARTS: Final = 5
HALF_LOAD_SECONDS: Final = 10
CONNECTIONS: Final = (1, 8, 32, 128, 512, 1000)
# With the 17 bytes of the JSON, this is the largest body that the service accepts.
PADDING: Final = 1024 - 17

# Name to the contestants in numerator and denominator.
RATIOS: Final = {
    "api_vs_go": ("api", "go"),
    "gateway_vs_original": ("gateway", "original"),
    "gateway_vs_fastapi": ("gateway", "fastapi"),
}


def main() -> int:
    """Run the comparison, write and print it; exit code 0: the comparison was run."""
    # End the contestants on SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = measure.options(__doc__, rounds=5, seconds=3, tools=("wrk", "taskset", "go"))
    if len(os.sched_getaffinity(0)) <= LOAD_CORE:
        print("bench needs two cores: one for the servers, one for the load", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="zama-bench-") as directory:
        Path(directory).chmod(0o711)  # nginx's workers run as another user
        result = Comparison(Path(directory), options.rounds, options.seconds).run()
    text = json.dumps(result, indent=2)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{result['date']}.json"
    path.write_text(text + "\n")
    path.with_suffix(".md").write_text(report.markdown(result))
    picture.draw(result, path.with_suffix(".png"))
    print(text if options.json else report.markdown(result))
    return 0


class Comparison:
    """A run of the comparison.

    Arguments:
        directory: for the contestants' output.
        rounds: the number of turns of each contestant.
        seconds: the load's duration per turn.

    """

    def __init__(self, directory: Path, rounds: int, seconds: int) -> None:
        self._directory = directory
        self._rounds = rounds
        self._seconds = seconds

    def run(self) -> dict[str, Any]:
        ready = {name: self._ready_ms(start) for name, start in _LIKES.items()}
        with Programs(self._directory) as programs:
            starter = Starter(programs)
            go, api, fastapi = starter.go(), starter.api(), starter.fastapi()
            gateway = starter.gateway(api)
            alone = starter.static()
            proxy = starter.proxy(alone)
            every = [go, api, gateway, starter.original(go), proxy, alone]
            every.append(starter.gateway(fastapi, "fastapi"))
            turns = self._turns("contestants", {one.name: Load(one) for one in every})
            half = {
                one.name: self._half_load(one, turns[one.name])
                for one in every
                if one.name not in {proxy.name, alone.name}
            }
            contestants = {
                one.name: {
                    **turns[one.name].summary(),
                    "memory_mib": round(one.memory_mib(), 1),
                    "ready_ms": ready.get(one.name),
                }
                for one in every
            }
            growth = self._growth(starter, api, gateway)
            features = self._features(starter, api, gateway)
        return {
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "machine": machine(),
            "rounds": self._rounds,
            "seconds": self._seconds,
            "connections": measure.CONNECTIONS,
            "ratios": {
                name: ratio(turns[one], turns[other]) for name, (one, other) in RATIOS.items()
            },
            "contestants": contestants,
            "half_load": half,
            "features": features,
            "growth": growth,
        }

    def _turns(self, what: str, loads: Mapping[str, "Load"]) -> dict[str, "Turns"]:
        """Run each load once per round, after a warm-up that does not count."""
        for load in loads.values():
            self._turn(load, 1)
        turns: dict[str, Turns] = {name: Turns() for name in loads}
        for number in range(1, self._rounds + 1):
            print(f"{what}: round {number} of {self._rounds} ...", file=sys.stderr)
            for name, load in loads.items():
                of = turns[name]
                of.cpu_seconds -= load.on.cpu_seconds()
                of.log_bytes -= load.on.log_bytes()
                turn = self._turn(load, self._seconds)
                of.cpu_seconds += load.on.cpu_seconds()
                of.log_bytes += load.on.log_bytes()
                of.requests += turn.requests
                of.rates.append(turn.requests_per_second)
        return turns

    def _turn(self, load: "Load", seconds: int) -> measure.Turn:
        return measure.load(
            load.on.url,
            seconds,
            self._directory,
            ON_LOAD_CORE,
            connections=load.connections,
            padding=load.padding,
        )

    def _ready_ms(self, start: Callable[[Starter], Contestant]) -> float:
        """Return the median time from a process's start to its first answer."""
        taken = []
        for _ in range(STARTS):
            with Programs(self._directory) as programs:
                began = time.monotonic()
                start(Starter(programs))
                taken.append((time.monotonic() - began) * 1000)
        return round(statistics.median(taken))

    def _half_load(self, contestant: Contestant, turns: "Turns") -> dict[str, float]:
        """Return the latencies at half the contestant's throughput, on `zama load`'s schedule."""
        rate = round(statistics.median(turns.rates) / 2)
        print(f"{contestant.name}: {rate} requests/s ...", file=sys.stderr)
        plan = Plan(contestant.url, rate, HALF_LOAD_SECONDS, measure.CONNECTIONS)
        answers = send_on_schedule(plan, KEY, prefix=ON_LOAD_CORE)
        wrong = plan.requests - sum(answer.status == 200 for answer in answers)
        if wrong:
            raise RuntimeError(f"{contestant.name}: {wrong} of {plan.requests} requests failed")
        return {"rate": rate, **percentiles([one.milliseconds for one in answers])}

    def _growth(
        self, starter: Starter, api: Contestant, gateway: Contestant
    ) -> dict[str, dict[str, Any]]:
        """Return the throughput with more connections, keys or bytes, as a share of the default."""
        keys = [f"client-{number}={secrets.token_hex(32)}" for number in range(999)]
        many = starter.gateway(api, "1,000 keys", API_KEYS=" ".join([*keys, f"client={KEY}"]))
        loads = {
            **{f"connections {count}": Load(gateway, count) for count in CONNECTIONS},
            "keys 1000": Load(many),
            "body_bytes 1024": Load(gateway, padding=PADDING),
        }
        turns = self._turns("growth", loads)
        growth: dict[str, dict[str, Any]] = {}
        for name in loads:
            what, count = name.split()
            usual = turns[f"connections {measure.CONNECTIONS}"]
            growth.setdefault(what, {})[count] = ratio(turns[name], usual)
        return growth

    def _features(
        self, starter: Starter, api: Contestant, gateway: Contestant
    ) -> dict[str, dict[str, Any]]:
        """Return the throughput with each feature, as a share of the throughput without it."""
        found = {}
        for with_all, others in (
            (api, {name: starter.api(name) for name in API_FEATURES}),
            (gateway, {name: starter.gateway(api, without=name) for name in GATEWAY_FEATURES}),
        ):
            loads = {"": with_all, **others}
            turns = self._turns(
                f"{with_all.name}'s features", {name: Load(one) for name, one in loads.items()}
            )
            found[with_all.name] = {name: ratio(turns[""], turns[name]) for name in others}
        return found


@dataclass(frozen=True)
class Load:
    """A load on a contestant; `padding` is the number of spaces after the JSON."""

    on: Contestant
    connections: int = measure.CONNECTIONS
    padding: int = 0


@dataclass
class Turns:
    """The results and costs of a contestant's turns."""

    rates: list[float] = field(default_factory=list)
    requests: int = 0
    cpu_seconds: float = 0
    log_bytes: int = 0

    def summary(self) -> dict[str, Any]:
        """Return the requests/s of each turn, and the cost of a request."""
        return {
            "requests_per_second": [round(rate) for rate in self.rates],
            "cpu_us_per_request": round(self.cpu_seconds / self.requests * 1e6, 1),
            "log_bytes_per_request": round(self.log_bytes / self.requests),
        }


def ratio(one: Turns, other: Turns) -> dict[str, float]:
    """Return the median, smallest and largest ratio within a round."""
    return measure.spread([a / b for a, b in zip(one.rates, other.rates, strict=True)])


_LIKES: Final[dict[str, Callable[[Starter], Contestant]]] = {
    "go": Starter.go,
    "api": Starter.api,
    "fastapi": Starter.fastapi,
    "gateway": lambda starter: starter.gateway(starter.api()),
}


def machine() -> dict[str, str]:
    model = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    go, nginx = (
        subprocess.run(command, capture_output=True, text=True, check=True)
        for command in (["go", "version"], [NGINX, "-v"])
    )
    return {
        "cpu": model[0] if model else platform.machine(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "go": go.stdout.split()[2].removeprefix("go"),
        "nginx": nginx.stderr.split("/")[1].strip(),
    }


if __name__ == "__main__":
    sys.exit(main())
