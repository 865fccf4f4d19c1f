"""Several keys of several clients, and the places that must not contain a key."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from stack import JSON, KEY, UNLIMITED, Pair, Part, ProcessStack, exchange, send, status
from zama_ops.contract_checks import SUM
from zama_ops.http_client import Answer
from zama_ops.keyring import Key
from zama_ops.pair import ENTRYPOINT, GATEWAY
from zama_ops.programs import Programs, complete, free_port, wait_until

KEYS = "acme=first-long-Key_1 acme=second.long.Key~2 globex=third+long+Key/3=="
KEY_OF_16 = "Key-of-16-signs."


@pytest.fixture(scope="module")
def several(module_processes: ProcessStack) -> Pair:
    return module_processes.start(API_KEYS=KEYS, **UNLIMITED)


def post_sum(url: str, key: str) -> Answer:
    return send(url, "POST", "/sum", {**JSON, "X-Api-Key": key}, SUM)


@pytest.mark.parametrize("pair_of_key", KEYS.split())
def test_every_key_works_and_its_client_is_logged(several: Pair, pair_of_key: str) -> None:
    """Both logs name the key's client; the gateway's also has the key's fingerprint."""
    client, key = pair_of_key.split("=", 1)
    answer = post_sum(several.gateway.url, key)
    assert answer.status == 200
    request_id = answer.headers["x-request-id"]
    line = several.gateway.line(request_id)
    assert (line["client"], line["key"]) == (client, Key(client, key).fingerprint)
    assert several.api.line(request_id)["client"] == client


@pytest.mark.parametrize(
    "key",
    [
        KEY,
        "acme",
        "FIRST-LONG-KEY_1",
        "first-long-Key_1 acme",
        "acme first-long-Key_1",
        "key:first-long-Key_1",
        "~.",
    ],
)
def test_nothing_similar_to_a_key_works(several: Pair, key: str) -> None:
    """Client names, another case and lookup syntax are refused."""
    answer = post_sum(several.gateway.url, key)
    assert answer.status == 403
    assert several.gateway.line(answer.headers["x-request-id"])["key"] == ""


def test_a_caller_cannot_name_itself(several: Pair) -> None:
    """The gateway replaces the header that names the client."""
    headers = {**JSON, "X-Api-Key": "first-long-Key_1", "X-Api-Client": "globex"}
    answer = send(several.gateway.url, "POST", "/sum", headers, SUM)
    assert several.api.line(answer.headers["x-request-id"])["client"] == "acme"
    answer = send(several.gateway.url, "GET", "/healthz", {"X-Api-Client": "globex"})
    assert several.api.line(answer.headers["x-request-id"])["client"] == ""


def test_a_repeated_key_header_is_refused(
    processes: ProcessStack, shared_api: Part, nginx: str
) -> None:
    """Only the first value can make a request valid; nginx from 1.23 on refuses each repetition."""
    version = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True).stderr
    judges_first = re.search(r"nginx/1\.(\d|1\d|2[0-2])\.", version) is not None
    gateway = processes.start_gateway(shared_api, **UNLIMITED)
    for keys, valid in (
        ((KEY, "x"), judges_first),
        ((KEY, KEY), judges_first),
        (("x", KEY), False),
    ):
        head = b"".join(b"X-Api-Key: %s\r\n" % key.encode() for key in keys)
        request = b"POST /sum HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + head
        body = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(SUM), SUM)
        answer = exchange(gateway.url, request + body)
        assert answer.startswith(b"HTTP/1.1 200 " if valid else b"HTTP/1.1 403 "), keys


def test_a_key_that_looks_like_nginx_syntax_is_a_key(
    processes: ProcessStack, shared_api: Part
) -> None:
    """No key becomes configuration."""
    words = ("include/etc/passwd", "~" + 16 * ".", "~default.hostnames")
    pairs = " ".join(f"default={word}" for word in words)
    gateway = processes.start_gateway(shared_api, API_KEYS=pairs, **UNLIMITED)
    for word in words:
        assert post_sum(gateway.url, word).status == 200, word
    assert post_sum(gateway.url, 17 * "x").status == 403


def test_a_thousand_keys_work(processes: ProcessStack, shared_api: Part) -> None:
    """The lookup table has room for many long keys."""
    keys = [f"{number:04d}".rjust(64, "k") for number in range(1000)]
    pairs = " ".join(f"client-{number}={key}" for number, key in enumerate(keys))
    gateway = processes.start_gateway(shared_api, API_KEYS=pairs, **UNLIMITED)
    for key in (keys[0], keys[499], keys[-1]):
        assert post_sum(gateway.url, key).status == 200
    assert post_sum(gateway.url, keys[0][:-1]).status == 403


def test_the_api_checks_the_key_again_if_required(processes: ProcessStack) -> None:
    """With REQUIRE_API_KEY, the gateway passes the key on, and the API refuses calls without it."""
    pair = processes.start(REQUIRE_API_KEY="true", API_KEYS=KEYS, **UNLIMITED)
    assert post_sum(pair.gateway.url, "third+long+Key/3==").status == 200
    assert send(pair.api.url, "POST", "/sum", JSON, SUM).status == 401
    assert post_sum(pair.api.url, "wrong").status == 403
    assert send(pair.api.url, path="/readyz").status == 200


def test_the_key_goes_no_further_than_the_gateway(processes: ProcessStack) -> None:
    """Without REQUIRE_API_KEY, the gateway does not pass the key on."""
    api = processes.start_api(REQUIRE_API_KEY="true", API_KEYS=KEYS)
    gateway = processes.start_gateway(api, API_KEYS=KEYS, **UNLIMITED)
    answer = post_sum(gateway.url, "first-long-Key_1")
    assert answer.status == 401
    assert gateway.line(answer.headers["x-request-id"])["upstream_ms"] is not None


def test_no_key_appears_in_any_output(processes: ProcessStack) -> None:
    """Logs, errors and process arguments contain no key."""
    key = "Sehr-Geheim-0123456789"
    pair = processes.start(API_KEY=key, RATE_LIMIT="1", RATE_BURST="1", LOG_LEVEL="debug")
    seen = [
        send(pair.gateway.url, method, path, {**JSON, "X-Api-Key": key}, body)
        for method, path, body in (
            ("POST", "/sum", SUM),
            ("POST", "/sum", b"{"),
            ("POST", "/sum", SUM),
            ("POST", "/sum", SUM.ljust(2000)),
            ("GET", "/healthz", None),
        )
    ]
    assert {answer.status for answer in seen} >= {200, 413, 429}

    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                arguments = (process / "cmdline").read_bytes()
            except OSError:  # The process has ended.
                continue
            assert key.encode() not in arguments

    for part in (pair.api, pair.gateway):
        assert part.stop() == 0
        assert key.encode() not in part.output() + part.errors()
    for answer in seen:
        assert key not in f"{answer.headers}{answer.body!r}"


@pytest.mark.parametrize("name", ["API_KEY", "API_KEYS"])
def test_nginx_does_not_inherit_the_key(
    processes: ProcessStack, shared_api: Part, tmp_path: Path, name: str
) -> None:
    """After rendering, the key is only in nginx's memory, not in its environment."""
    # /proc does not help: nginx overwrites its environment with its title.
    tells = tmp_path / "nginx"
    tells.write_text(f'#!/bin/sh\nenv >"{tmp_path}/$$"\nexec {processes.nginx_binary} "$@"\n')
    tells.chmod(0o755)
    settings = {name: f"acme={KEY}"} if name == "API_KEYS" else {name: KEY}
    gateway = processes.start_gateway(
        shared_api, **{"API_KEY": "", **settings}, NGINX_BINARY=str(tells)
    )
    (environ,) = (
        path.read_text() for child in gateway.children() if (path := tmp_path / str(child)).exists()
    )
    assert "LISTEN_PORT=" in environ
    assert KEY not in environ


def files_with(text: str, folder: Path) -> list[Path]:
    """Return the files that contain a text; `keys.conf` leads to a descriptor of its reader."""
    found = []
    # Folders and files may be removed while it looks.
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file() and not path.is_symlink() and text in path.read_text("latin-1"):
                    found.append(path)
    return found


def test_no_file_has_the_keys(processes: ProcessStack, shared_api: Part, tmp_path: Path) -> None:
    """Only a file without a name holds them while the gateway runs, and nothing is left then."""
    gateway = processes.start_gateway(shared_api, TMPDIR=str(tmp_path))
    assert list(tmp_path.glob("*/nginx.conf"))
    assert files_with(KEY, tmp_path) == []
    assert gateway.stop() == 0
    assert list(tmp_path.iterdir()) == []


def test_a_checked_configuration_is_private(processes: ProcessStack, tmp_path: Path) -> None:
    """Only its user can read the rendered keys."""
    # Only root may listen on the default port.
    here = {"LISTEN_PORT": "8081", "NGINX_BINARY": processes.nginx_binary, "TMPDIR": str(tmp_path)}
    done = complete(str(ENTRYPOINT), "check", API_KEY=KEY, **here)
    keys = Path(done.stdout.strip(), "keys.conf")
    assert KEY in keys.read_text()
    assert keys.stat().st_mode & 0o077 == 0


def test_an_entrypoint_that_is_killed_leaves_no_key_and_no_nginx(
    processes: ProcessStack, tmp_path: Path
) -> None:
    """At whatever moment of its start: no file has the keys, and no nginx serves without it."""
    here = {"NGINX_BINARY": processes.nginx_binary, "TMPDIR": str(tmp_path), "DRAIN_SECONDS": "0"}

    def serves(port: str) -> bool:
        return status(f"http://127.0.0.1:{port}", "/docs") != 0

    with Programs(processes.directory) as programs:

        def start() -> tuple[subprocess.Popen[bytes], str]:
            port = str(free_port())
            own = {**here, "API_KEY": KEY_OF_16, "LISTEN_PORT": port}
            return programs.start("gateway", GATEWAY, own).process, port

        began = time.monotonic()
        entrypoint, port = start()
        wait_until(lambda: serves(port), "served")
        seconds = time.monotonic() - began
        ports = []
        for step in range(11):
            entrypoint.send_signal((signal.SIGKILL, signal.SIGTERM)[step % 2])
            entrypoint.wait(30)
            assert files_with(KEY_OF_16, tmp_path) == []
            ports.append(port)
            entrypoint, port = start()
            time.sleep(seconds * step / 8)
        entrypoint.kill()
        entrypoint.wait(30)
        wait_until(lambda: not any(map(serves, [*ports, port])), "no nginx serves")
        assert files_with(KEY_OF_16, tmp_path) == []


def test_rendering_keeps_the_key_out_of_process_arguments(
    processes: ProcessStack, tmp_path: Path
) -> None:
    """No program that rendering starts gets the key as an argument."""
    key = "Sehr-Geheim-0123456789"
    log, path = tmp_path / "log", tmp_path / "bin"
    path.mkdir()
    for word in {*re.findall(r"[a-z][a-z0-9]+", ENTRYPOINT.read_text())}:
        if program := shutil.which(word):
            recorder = f'#!/bin/sh\necho "$0 $*" >>{log}\nexec {program} "$@"\n'
            (path / word).write_text(recorder)
            (path / word).chmod(0o755)
    here = {"NGINX_BINARY": processes.nginx_binary, "TMPDIR": str(tmp_path)}
    # Only root may listen on the default port.
    here["LISTEN_PORT"] = "8081"
    done = complete(
        str(ENTRYPOINT), "check", API_KEYS=f"a={key}", PATH=f"{path}:{os.environ['PATH']}", **here
    )
    assert done.returncode == 0, done.stderr
    arguments = log.read_text()
    for word in ("sha256sum", "cut", "sed"):
        assert f"/{word}" in arguments
    assert key not in arguments
