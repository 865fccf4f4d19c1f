"""`zama load` keeps the requested rate and reports latencies without coordinated omission."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stack import KEY, UNLIMITED, ZAMA, Pair, ProcessStack
from zama_ops.programs import free_port

pytestmark = pytest.mark.needs("wrk")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with ProcessStack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack.start(**UNLIMITED)


def start(url: str, folder: Path, *options: str, **environ: str) -> subprocess.Popen[str]:
    command = [str(ZAMA), "load", url, "--json", "--report", str(folder), *options]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env={**os.environ, **environ}, stdout=pipe, stderr=pipe, text=True
    )


def load(url: str, folder: Path, *options: str, **environ: str) -> tuple[int, dict[str, Any], str]:
    """Return the exit code, the report and the standard error."""
    with start(url, folder, *options, **environ) as process:
        stdout, stderr = process.communicate()
    return process.returncode, json.loads(stdout or "{}"), stderr


def test_the_rate_is_kept_and_reported(pair: Pair, tmp_path: Path) -> None:
    """Requests are sent on schedule and reported on standard output, in a file and as a picture."""
    code, report, _ = load(pair.gateway.url, tmp_path, "--rate", "50", "--seconds", "2")
    assert code == 0
    assert report["statuses"] == {"200": 100}
    assert report["unanswered"] == 0
    assert [one["second"] for one in report["by_second"]] == [0, 1]
    latencies = list(report["milliseconds"].values())
    assert latencies == sorted(latencies)
    assert latencies[0] > 0
    assert json.loads((tmp_path / "report.json").read_text()) == report
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def test_a_name_without_dns_is_called_at_connect_to(pair: Pair, tmp_path: Path) -> None:
    """`zama aws-local env` exports this setting."""
    environ = {"API_KEY": KEY, "CONNECT_TO": pair.gateway.url.removeprefix("http://")}
    code, report, _ = load("http://zama.invalid", tmp_path, "--seconds", "1", **environ)
    assert (code, report["statuses"]) == (0, {"200": 5})


def test_the_api_can_be_loaded_directly(pair: Pair, tmp_path: Path) -> None:
    """The API writes header names in another case."""
    code, report, _ = load(pair.api.url, tmp_path, "--rate", "20", "--seconds", "1")
    assert (code, report["statuses"]) == (0, {"200": 20})


@pytest.mark.alone
def test_a_stall_counts_for_all_requests_that_were_due(pair: Pair, tmp_path: Path) -> None:
    """The API stalls for one second of three, so a third of the requests are late.

    Only two of them are in flight; uncorrected, less than one in a hundred would look slow.
    """
    slow_ms, options = 200, ["--rate", "200", "--seconds", "3", "--connections", "2"]
    with start(pair.gateway.url, tmp_path, *options) as process:
        time.sleep(1.5)
        pair.api.signal(signal.SIGSTOP)
        time.sleep(1)
        pair.api.signal(signal.SIGCONT)
        report = json.loads(process.communicate()[0])
    assert report["statuses"] == {"200": 600}
    assert report["milliseconds"]["p90"] > slow_ms
    assert report["milliseconds"]["max"] > 900
    assert report["milliseconds"]["p50"] < slow_ms


def test_failures_are_counted_and_reported(pair: Pair, tmp_path: Path) -> None:
    """A wrong key and a missing server are reported."""
    few = ["--rate", "20", "--seconds", "1"]
    code, report, _ = load(pair.gateway.url, tmp_path, *few, API_KEY="wrong")
    assert (code, report["statuses"], report["milliseconds"]) == (1, {"403": 20}, {})
    nobody = f"http://127.0.0.1:{free_port()}"
    code, report, stderr = load(nobody, tmp_path, *few)
    assert (code, report["statuses"], report["unanswered"]) == (1, {}, 20)
    assert "unable to connect" in stderr
    code, _, stderr = load("localhost", tmp_path)
    assert (code, stderr) == (2, "zama: 'localhost' is not a URL such as http://localhost:8081\n")
