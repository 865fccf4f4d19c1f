"""The program: `zama-emulator --port=4566`."""

import argparse
import asyncio
import contextlib
import importlib.metadata
import json
import logging
import os
import re
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from typing import Any, Final

from zama_emulator import ACCOUNT, CHECKS_PATH, CLOCK_PATH, PORTS, environment, grafana
from zama_emulator.clock import clock

_HOST: Final = "127.0.0.1"
_JSON: Final = [("content-type", "application/json")]


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(
        prog="zama-emulator",
        description="Run AWS on this machine until SIGTERM or SIGINT.",
        epilog=f"Listens on {PORTS} consecutive ports of {_HOST}. At the end, everything is"
        " deleted, including containers.",
    )
    parser.add_argument("--port", type=int, default=4566, help="the first port (default: 4566)")
    parser.add_argument("--state", help="a folder to load records from and save them to")
    parser.add_argument(
        "--speed",
        type=float,
        default=1,
        help="how many minutes of AWS pass in a minute, up to 600 (default: 1)",
    )
    parser.add_argument(
        "--environment",
        action="store_true",
        help="only print the settings that point AWS clients at it, as JSON",
    )
    given = parser.parse_args()
    if given.environment:
        print(json.dumps(environment(given.port)))
        return
    try:
        clock.set(given.speed)
    except ValueError as error:
        parser.error(f"--speed {given.speed}: {error}")
    _check_releases()
    _check_ports(given.port)
    # MiniStack keeps its certificate and caches under fixed names in the folder of temporary files.
    # There, another user's would be in the way, and other emulators would write the same files.
    with tempfile.TemporaryDirectory(prefix="zama-emulator-") as own:
        tempfile.tempdir = own
        asyncio.run(_serve(given.port, given.state))


def _check_releases() -> None:
    for requirement in importlib.metadata.requires("zama-emulator") or ():
        if pinned := re.match(r"([\w-]+).*==([\w.]+)", requirement):
            installed = importlib.metadata.version(pinned[1])
            if installed != pinned[2]:
                sys.exit(f"zama-emulator: needs {pinned[1]} {pinned[2]}, but found {installed}")


def _check_ports(first: int) -> None:
    for port in range(first, first + PORTS):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port))
            except (OSError, OverflowError) as error:
                print(f"zama-emulator: port {port}: {error}", file=sys.stderr)
                sys.exit(2)


async def _serve(port: int, state: str | None) -> None:
    # MiniStack reads its settings at import.
    os.environ |= {
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": _HOST,
        "MINISTACK_REGION": environment(port)["AWS_REGION"],
        "LOG_LEVEL": "WARNING",
        "MOTO_ACCOUNT_ID": ACCOUNT,
        # These servers would listen on all interfaces.
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

    from zama_emulator import corrections, ecs
    from zama_emulator.life import life

    corrections.correct()
    life.begin()

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    config = Config()
    config.insecure_bind = [f"{_HOST}:{port}"]
    config.bind = [f"{_HOST}:{port + 1}"]
    config.certfile, config.keyfile = tls.resolve_tls_material()
    # The idle timeout of a load balancer.
    config.keep_alive_timeout = 60
    config.loglevel = "WARNING"

    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    moto = ThreadedMotoServer(ip_address=_HOST, port=port + 2, verbose=False)
    moto.start()

    async def told_to_stop() -> None:
        await stopped.wait()
        life.end()
        ecs.close()

    try:
        # MiniStack removes its containers when it ends; reap_all removes any that just started.
        await serve(_application(ministack.app), config, shutdown_trigger=told_to_stop)
        container_reaper.reap_all(docker.from_env())
    finally:
        with contextlib.suppress(Exception):
            moto.stop()


def _application(ministack: Callable[..., Any]) -> Callable[..., Any]:
    from zama_emulator import strict

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await ministack(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if scope["path"] == CHECKS_PATH:
            await _answer(send, 200, _JSON, json.dumps(vars(strict.counts)).encode())
            return
        if scope["path"] == CLOCK_PATH:
            status, content = _clock(await _read(receive))
            await _answer(send, status, _JSON, content)
            return
        if b"/aws4_request" in headers.get(b"authorization", b""):
            body = await _read(receive)
            refused = strict.refuse(strict.asgi_request(scope, body))
            if refused is not None:
                await _answer(send, *refused)
                return
            if b"/grafana/aws4_request" in headers[b"authorization"]:
                query = scope["query_string"].decode()
                status, content = grafana.answer(scope["method"], scope["path"], query, body)
                await _answer(send, status, _JSON, content)
                return
            receive = _again(body, receive)
        # MiniStack chooses a listener by the port in the Host header.
        if scope["scheme"] == "https":
            name, _, listener = headers[b"host"].partition(b":")
            own = str(scope["server"][1]).encode()
            host = name + b":" + (listener if listener not in {b"", own} else b"443")
            scope = {
                **scope,
                "headers": [
                    *((n, v) for n, v in scope["headers"] if n != b"host"),
                    (b"host", host),
                ],
            }
        await ministack(scope, receive, send)

    return application


def _clock(body: bytes) -> tuple[int, bytes]:
    """Change the clock's speed, if one is given, and tell it."""
    try:
        if body:
            clock.set(float(json.loads(body)["speed"]))
    except (ValueError, KeyError, TypeError) as error:
        return 400, json.dumps({"message": f'Send {{"speed": 60}}: {error}'}).encode()
    return 200, json.dumps({"speed": clock.speed}).encode()


async def _read(receive: Any) -> bytes:
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _again(body: bytes, receive: Any) -> Callable[[], Any]:
    """Return a function that returns the body once more, and then waits like `receive`."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Any:
        return messages.pop() if messages else await receive()

    return received


async def _answer(send: Any, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
    content = [(name.lower().encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": content})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    main()
