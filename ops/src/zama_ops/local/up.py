"""`zama up`: run the API and the gateway on this machine, without containers."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

import typer

from zama_ops.console import errors_told, notes
from zama_ops.contract_checks import EXAMPLE_KEY
from zama_ops.http_client import HttpClient
from zama_ops.pair import API, GATEWAY, HOST, check_ports, settings


def up() -> None:
    """Run the API and the gateway on this machine until Ctrl-C.

    The API listens on 127.0.0.1:8080 (PORT), the gateway on 127.0.0.1:8081 (LISTEN_PORT). The key
    is CHANGEME unless API_KEY or API_KEYS is set. docs/settings.md lists all settings, which come
    from environment variables. Logs go to standard output. Ctrl-C drains both programs; a second
    Ctrl-C stops them at once.
    """
    environ = settings(os.environ)
    with errors_told():
        check_ports(environ)
    _append_to_output()

    # Separate sessions: a terminal's Ctrl-C must reach only this process, which passes it on.
    children = [
        subprocess.Popen(command, env=environ, start_new_session=True) for command in (API, GATEWAY)
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

    api, gateway = (f"http://{HOST}:{environ[name]}" for name in ("PORT", "LISTEN_PORT"))
    while None in (codes := [child.poll() for child in children]):
        if codes != [None, None] and not stopping:
            # One program failed to start or died: stop the other as well.
            code = abs(codes[0] or codes[1] or 1)
            stop()
        # Ask the API first: a gateway that is asked too early logs errors.
        if not greeted and all(HttpClient(url).is_ready() for url in (api, gateway)):
            greeted = True
            notes.print(_greeting(gateway, environ))
        time.sleep(0.05)
    # A killed process has a negative exit code.
    raise typer.Exit(code or max(abs(child.returncode) for child in children))


def _append_to_output() -> None:
    """Set O_APPEND, so that both programs can write to one file without overwriting lines."""
    descriptor = sys.stdout.fileno()
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_APPEND)


def _greeting(url: str, environ: Mapping[str, str]) -> str:
    # Any key but the example is secret and not shown.
    shown = environ["API_KEY"] == EXAMPLE_KEY and not environ.get("API_KEYS")
    key = EXAMPLE_KEY if shown else "YOUR_KEY"
    return (
        f"\nThe gateway is ready at {url} (Ctrl-C stops it). Try:\n\n"
        f"  curl -s -H 'X-Api-Key: {key}' -H 'Content-Type: application/json'"
        f""" -d '{{"a": 2, "b": 40}}' localhost:{environ["LISTEN_PORT"]}/sum\n"""
        f"\nThe developer portal is at http://localhost:{environ['LISTEN_PORT']}/docs\n"
    )
