"""The lifecycle of a key on a running service under load, and where its text appears."""

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from deployment import Deployment, load, on_production
from engine import inspect
from stack import KEY, Report, zama
from zama_ops.callers import Callers
from zama_ops.ecs_service import EcsService
from zama_ops.keyring import Key
from zama_ops.programs import wait_until

REQUESTS_PER_SECOND: Final = 10


class Operator:
    """Runs `zama keys` on a deployment and remembers its standard error."""

    def __init__(self, deployment: Deployment) -> None:
        self.account = deployment.account
        self.address = deployment.address
        self.shown = ""

    def keys(self, *words: str) -> str:
        """Run a command that must succeed; return its standard output."""
        done = zama("keys", *words, **self.account.environ(), CONNECT_TO=self.address)
        self.shown += done.stderr
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@contextlib.contextmanager
def arguments_seen() -> Iterator[set[str]]:
    """Collect the arguments of all processes on this machine while the block runs."""
    seen: set[str] = set()
    stop = threading.Event()
    looks: Counter[Path] = Counter()

    def look() -> None:
        while not stop.wait(0.02):
            # A process has other arguments until its `exec`, so look at each several times.
            for process in Path("/proc").glob("[0-9]*"):
                looks[process] += 1
                if looks[process] <= 10:
                    with contextlib.suppress(OSError):
                        seen.add((process / "cmdline").read_text(errors="replace"))

    looker = threading.Thread(target=look)
    looker.start()
    try:
        yield seen
    finally:
        stop.set()
        looker.join()


def with_key(deployment: Deployment, key: str) -> Callers:
    return load(deployment, REQUESTS_PER_SECOND, X_Api_Key=key)


def test_a_key_is_issued_rotated_retired_and_revoked_without_a_lost_request(
    minimal: Deployment, report: Report
) -> None:
    """Callers with valid keys lose no request; a revoked key is refused after one deployment."""
    operator = Operator(minimal)
    with arguments_seen() as arguments, load(minimal, REQUESTS_PER_SECOND) as others:
        first = operator.keys("issue", "acme")
        second = operator.keys("rotate", "acme", "--keep")
        with with_key(minimal, first) as with_old, with_key(minimal, second) as with_new:
            time.sleep(3)
        listed = json.loads(operator.keys("list", "--days", "1", "--json"))["keys"]
        with with_key(minimal, second) as with_new_alone:
            operator.keys("revoke", "acme", Key("acme", first).fingerprint, "--yes")
        after_retiring = [minimal.sum(X_Api_Key=key).status for key in (first, second)]
        operator.keys("revoke", "acme", "--yes")
        after_revoking = [minimal.sum(X_Api_Key=key).status for key in (second, KEY)]

    loads = {"others": others, "old": with_old, "new": with_new, "new alone": with_new_alone}
    lost = Counter({name: len(one.lost()) for name, one in loads.items()})
    sent = sum(len(one.outcomes) for one in loads.values())
    report(f"key rotation on ECS: {sent} requests with valid keys, lost {lost.total()}")
    assert lost.total() == 0, {name: one.breakage() for name, one in loads.items()}
    assert sent > 30 * REQUESTS_PER_SECOND
    assert after_retiring == [403, 200]
    assert after_revoking == [403, 200]

    used = {one["fingerprint"]: one for one in listed}
    for secret in (KEY, first, second):
        use = used[Key("", secret).fingerprint]
        assert use["requests"] > 0
        assert use["last_used"] > "2026"

    # Places that must not contain the key. Only the parameter, the task's environment and one
    # printed line contain it.
    wait_until(lambda: Key("acme", second).fingerprint in minimal.log(), "the log is written")
    places = {
        "the log": minimal.log(),
        "Terraform's state": minimal.account.state(),
        "standard error": operator.shown,
        "the arguments of processes": "\n".join(arguments),
    }
    assert {
        name for name, text in places.items() for key in (first, second) if key in text
    } == set()


def test_only_the_gateway_gets_the_keys(minimal: Deployment) -> None:
    """No other container of the tasks has a key in its environment or command."""
    wait_until(lambda: len(minimal.containers()) == 4, "only the newest tasks are left", seconds=90)
    environments: dict[str, list[str]] = {}
    for container in inspect(*minimal.containers()):
        given = container["Config"]
        name = container["Name"].rpartition("-")[2]
        environments.setdefault(name, []).append("\n".join([*given["Env"], *(given["Cmd"] or [])]))
    assert set(environments) == {"api", "nginx"}
    assert all(f"API_KEYS=default={KEY}" in text for text in environments["nginx"])
    assert not any(KEY in text for text in environments["api"])


@on_production
def test_codedeploy_gets_the_same_deployment_as_from_terraform(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With blue/green deployments, `zama keys deploy` redeploys the same version."""
    for name, value in deployment.account.environ().items():
        monkeypatch.setenv(name, value)
    told = EcsService(deployment.outputs["cluster_name"]).codedeploy_deployment()
    expected = json.loads(deployment.outputs["codedeploy_deployment"])
    for one in (told, expected):
        one["revision"]["appSpecContent"] = json.loads(one["revision"]["appSpecContent"]["content"])
    assert told == expected


def test_a_services_url_is_found(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """The URL has the load balancer's name or the certificate's; the parameter is found as well."""
    for name, value in deployment.account.environ().items():
        monkeypatch.setenv(name, value)
    service = EcsService(deployment.outputs["cluster_name"])
    assert service.url() == deployment.outputs["url"]
    assert service.parameter() == deployment.outputs["api_key_parameter_name"]
