"""Attacks of callers without a key, for the tests and for `make bench-attack`.

A target is the gateway's host and port.
"""

import contextlib
import itertools
import re
import resource
import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from zama_ops.programs import run

PUBLIC: Final = b"GET /healthz HTTP/1.1\r\nHost: a\r\n"
KEYLESS: Final = b"POST /sum HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
DECLARED: Final = b'Content-Length: 500\r\n\r\n{"a"'
CHUNKED: Final = b'Transfer-Encoding: chunked\r\n\r\n4\r\n{"a"'

HEADS: Final = {
    "nothing": b"",
    "half a head": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: ",
    # The most memory that a caller can take: each line just fits.
    "half a head of 16 KiB": (KEYLESS + 2 * (b"X-Slow: %s\r\n" % (8000 * b"x")))[:-1],
    "requests without reading": 50 * b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n",
}
BODIES: Final = {
    "a declared body at a public path": PUBLIC + DECLARED,
    "a chunked body at a public path": PUBLIC + CHUNKED,
    "a declared body without a key": KEYLESS + DECLARED,
    "a chunked body without a key": KEYLESS + CHUNKED,
    "a body at a page": b"POST /docs HTTP/1.1\r\nHost: a\r\n" + DECLARED,
    "a body at no path": b"POST /nothing HTTP/1.1\r\nHost: a\r\n" + CHUNKED,
}

_ADDRESSES: Final = [f"127.0.{number}.{number}" for number in range(1, 101)]
_LENGTH: Final = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


def target_in(container: str) -> tuple[str, int]:
    """Return a gateway's target in a container, without the proxy that publishes its port.

    `container` is the one whose network the gateway shares.
    """
    networks = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return run("docker", "inspect", "--format", networks, container).strip(), 8081


def memory_mib(*containers: str) -> float:
    """Return the memory of containers."""
    usages = run("docker", "stats", "--no-stream", "--format", "{{.MemUsage}}", *containers)
    return sum(float(usage.partition("MiB")[0]) for usage in usages.splitlines())


@contextlib.contextmanager
def enough_files() -> Iterator[None]:
    """Let this process open as many connections as the kernel allows."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextlib.contextmanager
def held(target: tuple[str, int], beginnings: Sequence[bytes], count: int) -> Iterator[None]:
    """Hold `count` connections that sent these bytes in turn.

    Half of them have the same address; the others have 100 different ones on this machine.
    """
    addresses = itertools.cycle(_ADDRESSES)
    with contextlib.ExitStack() as opened:
        for number, beginning in zip(range(count), itertools.cycle(beginnings), strict=False):
            local = target[0] == "127.0.0.1" and number // len(beginnings) % 2
            address = (next(addresses), 0) if local else None
            attacker = socket.create_connection(target, 15, address)
            opened.enter_context(attacker)
            attacker.settimeout(0)
            # The gateway may have answered and closed.
            with contextlib.suppress(OSError):
                attacker.send(beginning)
        yield


def reconnect(target: tuple[str, int], seconds: float) -> None:
    """Open connections and close them at once."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with held(target, [b"", b"GET / HTTP/1.1\r\n", PUBLIC + DECLARED], 90):
            pass


def flood(
    target: tuple[str, int], path: str, *, addresses: int, callers: int, seconds: float
) -> Counter[int]:
    """Send requests on kept connections, each after the last answer; count the answers."""
    statuses: Counter[int] = Counter()
    head = "GET %s HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.%d.%d\r\n\r\n"
    with contextlib.ExitStack() as opened, selectors.DefaultSelector() as waiting:
        for number in range(callers):
            caller = opened.enter_context(socket.create_connection(target, 15))
            request = (head % (path, *divmod(number % addresses, 256))).encode()
            caller.sendall(request)
            waiting.register(caller, selectors.EVENT_READ, (caller, request, bytearray()))
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for caller, request, answer in (key.data for key, _ in waiting.select(0.1)):
                answer.extend(caller.recv(2**20))
                fields, _, body = answer.partition(b"\r\n\r\n")
                if (length := _LENGTH.search(fields)) and len(body) == int(length[1]):
                    statuses[int(answer[9:12])] += 1
                    answer.clear()
                    caller.sendall(request)
    return statuses
