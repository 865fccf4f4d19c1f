"""Run the emulator until SIGTERM or SIGINT: `python -m zama_ops.emulator --port=4566`."""

import argparse
import asyncio
import contextlib
import importlib.metadata
import logging
import os
import re
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, Final

from zama_ops.emulator import ACCOUNT, PORTS, environment, grafana

_MINISTACK: Final = "1.5.33"
_HOST: Final = "127.0.0.1"


def main() -> None:
    """Read the arguments and run."""
    arguments = argparse.ArgumentParser(prog="python -m zama_ops.emulator", description=__doc__)
    arguments.add_argument("--port", type=int, default=4566, help=f"first of {PORTS} in a row")
    arguments.add_argument("--state", help="folder to read records from and write them to")
    given = arguments.parse_args()
    port = given.port
    installed = importlib.metadata.version("ministack")
    if installed != _MINISTACK:
        sys.exit(f"emulator: ministack {_MINISTACK} is needed, this is {installed}")
    for number in range(port, port + PORTS):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, number))
            except OSError as error:
                print(f"emulator: port {number}: {error.strerror}", file=sys.stderr)
                sys.exit(2)
    asyncio.run(_serve(port, given.state))


async def _serve(port: int, state: str | None) -> None:
    # MiniStack reads its settings when it is imported.
    os.environ |= {
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": _HOST,
        "MINISTACK_REGION": environment(port)["AWS_REGION"],
        "LOG_LEVEL": "WARNING",
        "MOTO_ACCOUNT_ID": ACCOUNT,
        # They would listen for the whole network.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        **({"PERSIST_STATE": "1", "STATE_DIR": state} if state else {}),
    }
    import docker
    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from ministack import app as ministack
    from ministack.core import container_reaper, tls
    from moto.server import ThreadedMotoServer

    from zama_ops.emulator import (
        cloudwatch,
        ecs,
        iam,
        load_balancer,
        logs,
        moto_services,
        transport,
        waf,
    )

    for module in (cloudwatch, ecs, iam, load_balancer, logs, moto_services, transport, waf):
        module.correct()

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    config = Config()
    config.insecure_bind = [f"{_HOST}:{port}"]
    config.bind = [f"{_HOST}:{port + 1}"]
    config.certfile, config.keyfile = tls.resolve_tls_material()
    # As a load balancer's.
    config.keep_alive_timeout = 60
    config.loglevel = "WARNING"

    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    moto = ThreadedMotoServer(ip_address=_HOST, port=port + 2, verbose=False)
    moto.start()

    async def told_to_stop() -> None:
        await stopped.wait()
        ecs.close()

    try:
        # At its end MiniStack removes the containers that it started; then those that were just
        # being started.
        await serve(_application(ministack.app), config, shutdown_trigger=told_to_stop)
        container_reaper.reap_all(docker.from_env())
    finally:
        with contextlib.suppress(Exception):
            moto.stop()


def _application(ministack: Callable[..., Any]) -> Callable[..., Any]:
    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await ministack(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if re.search(rb"/grafana/aws4_request", headers.get(b"authorization", b"")):
            body = b""
            while True:
                message = await receive()
                body += message.get("body", b"")
                if not message.get("more_body"):
                    break
            status, answer = grafana.answer(scope["method"], scope["path"], body)
            content = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": status, "headers": content})
            await send({"type": "http.response.body", "body": answer})
            return
        # A listener is chosen by its port, which MiniStack takes from the Host header.
        if scope["scheme"] == "https":
            host = headers[b"host"].partition(b":")[0] + b":443"
            scope = {
                **scope,
                "headers": [
                    *((n, v) for n, v in scope["headers"] if n != b"host"),
                    (b"host", host),
                ],
            }
        await ministack(scope, receive, send)

    return application


if __name__ == "__main__":
    main()
