"""The README's commands work in a fresh clone, and another test covers each other block."""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from checkout import Checkout
from readme import BLOCKS, block, commands_for_aws
from stack import Report, send
from zama_ops.emulated_account import EmulatedAccount
from zama_ops.paths import ROOT
from zama_ops.programs import STOP_SECONDS, complete, run, wait_until

NOT_PASTED: Final = {
    "METRICS_PORT=9113 docker-compose": (
        "Grafana's image comes from a registry: containers/test_observability.py starts the others"
    ),
    "ID=": "a canary takes 15 minutes: aws/test_blue_green.py has one with a fast clock",
    ".venv/bin/zama aws-local up --profile": "aws/test_drills.py performs this drill faster",
    "make rehearse": "it runs all tests: delivery/test_rehearsal.py runs it with a few",
    ".venv/bin/zama drill api-killed": (
        "it takes real time: observability/test_drills.py plays it faster"
    ),
    'eval "$(.venv/bin/zama aws-local env)"\n.venv/bin/zama drill aws': (
        "aws/test_drills.py performs all of these drills faster"
    ),
}
"""The beginning of each block that no test runs, and the reason."""


def test_every_block_is_run_by_a_test() -> None:
    """A test runs it, or NOT_PASTED has the reason why none can."""
    sources = "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    asked = re.findall(r"""\bblock\((["'])(.+?)\1\)""", sources)
    pasted = commands_for_aws() + "".join(block(beginning) for _, beginning in asked)
    left = [text for text in BLOCKS if text not in pasted]
    assert left == [block(beginning) for beginning in NOT_PASTED]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository to clone: the committed working tree."""
    return Checkout.make(tmp_path_factory.mktemp("origin") / "zama").path


@pytest.fixture
def clone(origin: Path, tmp_path: Path) -> Path:
    """Return a fresh clone without installed packages."""
    run("git", "clone", "--quiet", str(origin), str(tmp_path / "zama"))
    return tmp_path / "zama"


def paste(clone: Path, commands: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run commands in a shell in the clone, which must exit with `code` unless it is None."""
    done = complete("sh", "-c", f"set -e\n{commands}", cwd=clone)
    assert code in {None, done.returncode}, done.stdout[-3000:] + done.stderr[-3000:]
    return done


@contextmanager
def running(clone: Path, command: str) -> Iterator[Callable[[], str]]:
    """Run a command until the block ends, as with Ctrl-C; yield a function to read its output."""
    output = clone.parent / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            ["sh", "-c", command],
            cwd=clone,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
    try:
        yield output.read_text
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(STOP_SECONDS)
        assert output.read_text().count('"event":"stopped"') == 2, output.read_text()


@pytest.mark.needs("curl")
@pytest.mark.timeout(300)
def test_from_a_clone_to_the_first_response(origin: Path, tmp_path: Path, report: Report) -> None:
    """Three commands and less than two minutes, with only Python, git and make."""
    clone = tmp_path / "zama"
    began = time.monotonic()
    paste(tmp_path, f"git clone --quiet {origin} {clone}")
    with running(clone, block("make up")) as printed:
        wait_until(lambda: "curl -s" in printed(), "the command to call it", seconds=120)
        answer = paste(clone, block("curl -s -H")).stdout
        seconds = time.monotonic() - began
        assert answer == '{"sum":42}'
        report(f"clone to first answer: {seconds:.0f} s, three commands")
        assert seconds < 120
        paste(clone, block(".venv/bin/zama smoke"))


@pytest.mark.needs("docker", "terraform")
@pytest.mark.usefixtures("own_images")
@pytest.mark.timeout(900)
def test_from_a_clone_to_a_local_aws(clone: Path) -> None:
    """The service is deployed, called with the printed command, inspected and removed."""
    try:
        printed = paste(clone, block("make aws-local")).stderr
        call = re.search(r"^ +(curl .*)$", printed, re.MULTILINE)
        assert call, printed
        assert paste(clone, call[1]).stdout == '{"sum":42}'

        def status() -> str:
            return paste(clone, block('eval "$(.venv/bin/zama aws-local env)"'), code=None).stdout

        wait_until(lambda: "2 healthy" in status(), "both tasks are healthy", seconds=60)
        # The alarms on missing data clear within minutes of AWS, which are seconds here.
        clock = f"http://127.0.0.1:{EmulatedAccount(clone).port}"
        send(clock, "POST", "/_zama/clock", {}, b'{"speed": 30}')
        wait_until(lambda: "is firing" not in status(), "no alarm fires", seconds=120)
    finally:
        paste(clone, block("make aws-local-down"))
    account = f"{socket.gethostname()}:{EmulatedAccount(clone).port}"
    assert run("docker", "ps", "--quiet", f"--filter=label=ministack.instance={account}") == ""
