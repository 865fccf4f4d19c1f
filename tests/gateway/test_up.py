"""`zama up`, as `make up` runs it."""

import os
import re
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from stack import AUTHORISED, KEY, ZAMA, send
from zama_ops.errors import CommandError
from zama_ops.pair import check_ports
from zama_ops.paths import ROOT
from zama_ops.programs import STOP_SECONDS, free_port, run, wait_until


class Up:
    """A running `zama up` on free ports, with its output in one file."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self.output = directory / "output"
        self.ports = {"PORT": str(free_port()), "LISTEN_PORT": str(free_port())}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [str(ZAMA), "up"],
                env={**os.environ, "DRAIN_SECONDS": "0", **self.ports, **settings},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def printed(self) -> str:
        return self.output.read_text()

    def wait_until_ready(self) -> str:
        """Wait until it prints the example command, and return that command."""
        wait_until(lambda: "curl" in self.printed() or self.process.poll() is not None, "greeting")
        match = re.search(r"^ +(curl .*)$", self.printed(), re.MULTILINE)
        assert match, self.printed()
        return match[1]

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with Up(tmp_path_factory.mktemp("up")) as running:
        yield running


@pytest.mark.needs("curl")
def test_the_printed_command_works_unchanged(up: Up) -> None:
    """Pasted into a shell, it returns the sum."""
    assert run(*shlex.split(up.wait_until_ready())) == '{"sum":42}'


def test_the_readme_has_the_printed_command(up: Up) -> None:
    """The README has the same command, except for the port."""
    command = up.wait_until_ready().replace(f":{up.ports['LISTEN_PORT']}/", ":8081/")
    assert f"\n{command}\n" in (ROOT / "README.md").read_text()


def test_a_problem_links_to_the_portal(up: Up) -> None:
    """A terminal shows the type as a link, whether the API or the gateway made the problem."""
    up.wait_until_ready()
    portal = f"http://localhost:{up.ports['LISTEN_PORT']}/docs"
    for port in up.ports.values():
        answer = send(f"http://127.0.0.1:{port}", "POST", "/healthz", AUTHORISED)
        assert answer.json()["type"] == f"{portal}#method-not-allowed"


def test_the_greeting_names_the_portal(up: Up) -> None:
    """The address answers with the page."""
    up.wait_until_ready()
    (url,) = re.findall(
        r"^The developer portal is at (http://\S+)/docs$", up.printed(), re.MULTILINE
    )
    assert b"<html" in send(url, path="/docs").body


def test_only_this_machine_is_served(up: Up) -> None:
    """Both listen only on the loopback address."""
    up.wait_until_ready()
    for port in up.ports.values():
        # This machine as well, but not the address to listen on.
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", int(port)), timeout=5)


def test_ctrl_c_drains_both_and_exits_with_0(tmp_path: Path) -> None:
    """Both log their drain and stop, on separate lines."""
    with Up(tmp_path) as up:
        up.wait_until_ready()
        assert up.end() == 0
    for service in ("api", "nginx"):
        for event in ("started", "draining", "stopped"):
            pattern = rf'^{{"time":"[^"]+","level":"info","service":"{service}","event":"{event}"'
            assert re.search(pattern, up.printed(), re.MULTILINE)


@pytest.mark.parametrize("name", ["PORT", "LISTEN_PORT"])
def test_a_taken_port_is_reported_before_anything_starts(tmp_path: Path, name: str) -> None:
    """The message names the variable and the solution."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with Up(tmp_path, **{name: str(port)}) as up:
            assert up.process.wait(10) == 1
    (line,) = up.printed().splitlines()
    assert line.startswith(f"zama: {name} {port} is in use")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"PORT": "abc"}, "PORT='abc' cannot be used"),
        ({"PORT": "²"}, "PORT='²' cannot be used"),
        ({"LISTEN_PORT": "65536"}, "LISTEN_PORT='65536' cannot be used"),
        ({"PORT": "20999", "LISTEN_PORT": "20999"}, "PORT and LISTEN_PORT are both 20999"),
    ],
)
def test_an_invalid_port_is_refused(settings: dict[str, str], message: str) -> None:
    """The message names the variable and its value."""
    with pytest.raises(CommandError, match=f"^{re.escape(message)}"):
        check_ports({"PORT": "20998", "LISTEN_PORT": "20999", **settings})


def test_a_port_that_needs_root_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message does not say that another program listens there."""

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(CommandError, match=r"^PORT 80 needs root: choose a port from 1024"):
        check_ports({"PORT": "80", "LISTEN_PORT": "81"})


@pytest.mark.parametrize(
    ("setting", "message"),
    [("RATE_LIMIT", "gateway: RATE_LIMIT='x'"), ("LOG_LEVEL", "zama-api: LOG_LEVEL='x'")],
)
def test_a_part_that_refuses_to_start_ends_the_other(
    tmp_path: Path, setting: str, message: str
) -> None:
    """An invalid setting is reported once, and nothing is left running."""
    with Up(tmp_path, **{setting: "x"}) as up:
        assert up.process.wait(10) == 2
    assert up.printed().count(f"{message} cannot be used") == 1
    assert "curl" not in up.printed()


def test_a_configured_key_is_not_printed(tmp_path: Path) -> None:
    """Only the example key is printed."""
    key = "Sehr-Geheim-0123456789"
    with Up(tmp_path, API_KEY=key) as up:
        assert "YOUR_KEY" in up.wait_until_ready()
    assert key not in up.printed()
    assert KEY not in up.printed()
