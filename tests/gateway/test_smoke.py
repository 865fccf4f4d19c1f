"""`zama smoke` passes on a deployment that follows the contract, and names each violation."""

import json
import subprocess
from typing import Any

import pytest

from stack import KEY, UNLIMITED, Pair, Part, ProcessStack, zama
from zama_ops.contract_checks import CHECKS
from zama_ops.programs import free_port


def failed(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return the failed checks and their details."""
    report: dict[str, Any] = json.loads(done.stdout)
    assert [one["check"] for one in report["checks"]] == list(CHECKS)
    assert report["passed"] == (done.returncode == 0)
    return {one["check"]: one["detail"] for one in report["checks"] if not one["passed"]}


def test_a_deployment_passes_within_its_limit(processes: ProcessStack, shared_api: Part) -> None:
    """The checks are rate-limited like any caller, wait, and finish in seconds."""
    done = zama("smoke", processes.start_gateway(shared_api).url, "--json")
    assert failed(done) == {}
    seconds = sum(one["milliseconds"] for one in json.loads(done.stdout)["checks"]) / 1000
    assert seconds < 10


def test_a_high_limit_is_no_fault(pair: Pair) -> None:
    """The limit is a setting."""
    done = zama("smoke", pair.gateway.url)
    assert done.returncode == 0
    assert done.stdout.count("✓") == len(CHECKS)


def test_a_name_without_dns_is_called_at_connect_to(pair: Pair) -> None:
    """`zama aws-local env` exports this setting."""
    address = pair.gateway.url.removeprefix("http://")
    done = zama("smoke", "http://zama.invalid", "--json", API_KEY=KEY, CONNECT_TO=address)
    assert failed(done) == {}


def test_an_api_without_its_gateway_fails(pair: Pair) -> None:
    """Each missing feature of the gateway is named."""
    faults = failed(zama("smoke", pair.api.url, "--json"))
    assert faults["no key: 401 with WWW-Authenticate"].endswith("was answered with 200, not 401")
    assert set(faults) == {
        "no key: 401 with WWW-Authenticate",
        "a wrong key: 403",
        "GET /metrics and an unknown path: 404",
        "the contract and the developer portal",
        "headers of every response",
        "over the limit: 429 with Retry-After",
    }


def test_a_wrong_key_fails(pair: Pair) -> None:
    """Only checks without a key pass."""
    done = zama("smoke", pair.gateway.url, "--json", API_KEY="another")
    assert done.returncode == 1
    faults = failed(done)
    assert faults["POST /sum: the sum"] == "POST /sum was answered with 403, not 200"
    assert "GET /readyz: ready" not in faults


def test_a_dead_api_fails(processes: ProcessStack) -> None:
    """Only checks that the gateway answers itself pass."""
    pair = processes.start(**UNLIMITED)
    pair.api.stop()
    faults = failed(zama("smoke", pair.gateway.url, "--json"))
    assert faults["GET /readyz: ready"] == "GET /readyz was answered with 502, not 200"
    assert "a wrong key: 403" not in faults


def test_no_server_fails() -> None:
    """One line for a person; in the report for scripts, each check failed."""
    url = f"http://127.0.0.1:{free_port()}"
    done = zama("smoke", url)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"zama: {url} does not answer:")
    done = zama("smoke", url, "--json")
    assert done.returncode == 1
    assert all(detail.startswith("no answer:") for detail in failed(done).values())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("localhost:8081", "is not a URL"),
        ("ftp://localhost", "is not a URL"),
        ("https://api.example.invalid", "set API_KEY"),
    ],
)
def test_missing_arguments_are_reported(url: str, words: str) -> None:
    """The message is one line, and the exit code is 2."""
    done = zama("smoke", url, API_KEY="")
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
