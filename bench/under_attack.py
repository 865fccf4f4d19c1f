"""Measure the answers that a caller with a key gets while callers without a key attack.

The pair runs in the compose stack with the limits of the smallest Fargate task, 0.25 vCPU and 512
MiB for both containers. A second after an attack begins, the caller sends 100 requests/s; a load
balancer checks /readyz ten times a second.

Needs `wrk`, `docker` and `docker-compose` on the PATH.
"""

import contextlib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import attacks
import fargate
import measure
from zama_ops.contract_checks import EXAMPLE_KEY
from zama_ops.http_client import HttpClient, NoAnswerError
from zama_ops.load_generator import Plan, percentiles
from zama_ops.load_generator import measure as send_on_schedule
from zama_ops.programs import run, wait_until

RATE: Final = 100
CONNECTIONS: Final = 8
HELD: Final = 4000
CALLERS: Final = 400

Target = tuple[str, int]
Attack = Callable[[Target, float], object]


def hold(beginnings: dict[str, bytes]) -> Attack:
    def attack(target: Target, seconds: float) -> None:
        with attacks.held(target, [*beginnings.values()], HELD):
            time.sleep(seconds)

    return attack


def flood(path: str, addresses: int = 1) -> Attack:
    def attack(target: Target, seconds: float) -> None:
        attacks.flood(target, path, addresses=addresses, callers=CALLERS, seconds=seconds)

    return attack


ATTACKS: Final[dict[str, Attack]] = {
    "none": lambda _, seconds: time.sleep(seconds),
    f"{HELD:,} idle connections, slow heads and slow readers": hold(attacks.HEADS),
    f"{HELD:,} slow bodies": hold(attacks.BODIES),
    "reconnecting without end": attacks.reconnect,
    f"{CALLERS} callers flood /healthz": flood("/healthz"),
    f"{CALLERS} callers flood /docs/docs.js": flood("/docs/docs.js"),
    "the same, each with its own address": flood("/docs/docs.js", CALLERS),
    f"{CALLERS} callers flood /sum, each with its own address": flood("/sum", CALLERS),
}


def main() -> int:
    """Run the attacks and print the answers; exit code 0: the attacks were run."""
    tools = ("wrk", "docker", "docker-compose")
    options = measure.options(__doc__, rounds=1, seconds=10, tools=tools)
    settings = {"TRUSTED_PROXIES": "172.16.0.0/12 192.168.0.0/16", "RATE_LIMIT": "1000"}
    fargate.compose("up", "-d", "--build", **settings)
    try:
        wait_until(lambda: HttpClient(fargate.URL).is_ready(), "the pair is ready", seconds=30)
        with attacks.enough_files():
            result = [
                {"attack": name, **seen(attack, options.seconds)}
                for _ in range(options.rounds)
                for name, attack in ATTACKS.items()
            ]
    finally:
        fargate.compose("down")
    print(json.dumps(result, indent=2) if options.json else table(result))
    return 0


def seen(attack: Attack, seconds: int) -> dict[str, Any]:
    """Return the answers to a caller and a load balancer during an attack."""
    api, gateway = (fargate.compose("ps", "-q", name).strip() for name in ("api", "nginx"))
    host, port = target = attacks.target_in(api)
    plan = Plan(f"http://{host}:{port}", RATE, seconds, CONNECTIONS)
    began = time.time()
    attacking = threading.Thread(target=attack, args=[target, seconds + 2])
    attacking.start()
    time.sleep(1)
    with checked(plan.url) as checks:
        answers = send_on_schedule(plan, EXAMPLE_KEY)
        memory = attacks.memory_mib(api, gateway)
    attacking.join()
    log = run("docker", "logs", f"--since={began:.3f}", gateway)
    lines = map(json.loads, log.splitlines())
    return {
        "answered": sum(answer.status == 200 for answer in answers) / plan.requests,
        "ready": checks[200] / checks.total(),
        **percentiles([answer.milliseconds for answer in answers]),
        "5xx": sum(line.get("status", 0) >= 500 for line in lines),
        "mib": memory,
    }


@contextlib.contextmanager
def checked(url: str) -> Iterator[Counter[int]]:
    """Count the statuses of /readyz during the block, ten a second; 0 is no answer."""
    found: Counter[int] = Counter()
    ended = threading.Event()

    def check() -> None:
        while not ended.wait(0.1):
            try:
                found[HttpClient(url).send("GET", "/readyz").status] += 1
            except NoAnswerError:
                found[0] += 1

    checking = threading.Thread(target=check)
    checking.start()
    try:
        yield found
    finally:
        ended.set()
        checking.join()


def table(result: list[dict[str, Any]]) -> str:
    rows = [
        "| attack | sums answered | ready | p50, ms | p99 | p99.9 | 5xx | memory, MiB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in result:
        times = " | ".join(f"{one[percentile]:.1f}" for percentile in ("p50", "p99", "p99.9"))
        shares = f"{one['answered']:.1%} | {one['ready']:.1%}"
        rows.append(f"| {one['attack']} | {shares} | {times} | {one['5xx']} | {one['mib']:.0f} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
