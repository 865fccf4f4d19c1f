"""The emulator's program, without a deployment."""

import importlib.metadata
import json
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ministack.core import tls

from zama_emulator import __main__ as program
from zama_emulator.patching import answer_in_turn


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "zama_emulator", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_it_tells_clients_where_it_listens() -> None:
    """`--environment` prints an endpoint for MiniStack, and one two ports higher for Moto."""
    environ = json.loads(run("--environment", "--port=5000").stdout)
    assert environ["AWS_ENDPOINT_URL"] == "http://127.0.0.1:5000"
    assert environ["AWS_ENDPOINT_URL_CODEDEPLOY"] == "http://127.0.0.1:5002"


def test_a_taken_port_is_named() -> None:
    """A taken port gives one line and exit code 2, before anything starts."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = run(f"--port={port}")
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"zama-emulator: port {port}: ")


def test_a_file_of_another_user_is_not_in_the_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The certificate is in a folder of this run, which is deleted at the end."""
    (tmp_path / "ministack-tls").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["zama-emulator"])
    monkeypatch.setattr(program, "_check_ports", lambda _: None)
    found: list[str] = []

    def look() -> None:
        found.extend(Path(name).read_text() for name in tls.resolve_tls_material())

    async def serve(*_: object) -> None:
        look()

    monkeypatch.setattr(program, "_serve", serve)
    program.main()
    certificate, key = found
    assert "BEGIN CERTIFICATE" in certificate
    assert "PRIVATE KEY" in key
    assert [path.name for path in tmp_path.iterdir()] == ["ministack-tls"]


@pytest.mark.parametrize("package", ["ministack", "moto", "hypercorn"])
def test_another_release_of_a_corrected_package_is_refused(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    """The corrections replace private functions, which another release may lack."""
    installed = importlib.metadata.version

    def version(name: str) -> str:
        return "99.1" if name == package else installed(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(sys, "argv", ["zama-emulator"])
    with pytest.raises(SystemExit, match=rf"needs {package} .*, but found 99\.1"):
        program.main()


def test_each_replaced_function_exists() -> None:
    """The installed releases have every function that the corrections replace."""
    code = "from zama_emulator import corrections; corrections.correct()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_threads_take_turns() -> None:
    """Functions that share tables run in one thread at a time."""
    running: list[None] = []
    at_once = []

    class Tables:
        def read(self) -> None:
            running.append(None)
            at_once.append(len(running))
            time.sleep(0.05)
            running.pop()

        def write(self) -> None:
            self.read()

    answer_in_turn(Tables, "read", "write")
    with ThreadPoolExecutor(4) as pool:
        for call in (Tables().read, Tables().write) * 2:
            pool.submit(call)
    assert at_once == [1] * 4
