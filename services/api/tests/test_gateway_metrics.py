"""Each of the gateway's lines is counted once, and nothing else is."""

import os
import runpy
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest
from prometheus_client import CollectorRegistry

from zama_api import gateway_metrics as program
from zama_api.gateway_metrics import GatewayMetrics

HEADER = b"<190>Nov 24 04:05:06 nginx: "

Value = Callable[..., float | None]


@pytest.fixture
def registry() -> CollectorRegistry:
    """Make an empty registry."""
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> GatewayMetrics:
    """Make metrics that nothing was counted in."""
    metrics = GatewayMetrics()
    registry.register(metrics)
    return metrics


@pytest.fixture
def value(registry: CollectorRegistry) -> Value:
    """Read a sample."""

    def read(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    return read


def test_a_line_is_a_request(metrics: GatewayMetrics, value: Value) -> None:
    """Its route, its status and its time are counted."""
    metrics.observe(HEADER + b"/sum 200 0.003 0")

    assert value("gateway_requests_total", route="/sum", status="200") == 1
    assert value("gateway_request_duration_seconds_sum", route="/sum") == 0.003
    assert value("gateway_request_duration_seconds_bucket", route="/sum", le="0.0025") == 0
    assert value("gateway_request_duration_seconds_bucket", route="/sum", le="0.005") == 1
    assert value("gateway_upstream_retries_total") == 0


def test_only_answers_have_a_time(metrics: GatewayMetrics, value: Value) -> None:
    """A refusal is quick and an error may be anything: neither is what the objective is about."""
    for status in (b"403", b"502", b"0"):
        metrics.observe(HEADER + b"/sum " + status + b" 1.000 0")

    assert value("gateway_requests_total", route="/sum", status="502") == 1
    assert value("gateway_request_duration_seconds_count", route="/sum") == 0


def test_a_second_attempt_counts_if_it_helped(metrics: GatewayMetrics, value: Value) -> None:
    """While the API is gone every request is tried twice; that says nothing of timeouts."""
    metrics.observe(HEADER + b"/sum 200 0.003 1")
    metrics.observe(HEADER + b"/sum 422 0.003 1")
    metrics.observe(HEADER + b"/sum 502 0.003 1")

    assert value("gateway_upstream_retries_total") == 2


def test_equal_lines_are_as_many_requests(metrics: GatewayMetrics, value: Value) -> None:
    """Whether somebody asked in between or not."""
    for _ in range(3):
        metrics.observe(HEADER + b"/sum 200 0.003 0")
    assert value("gateway_requests_total", route="/sum", status="200") == 3
    for _ in range(2):
        metrics.observe(HEADER + b"/sum 200 0.003 0")

    assert value("gateway_requests_total", route="/sum", status="200") == 5
    assert value("gateway_request_duration_seconds_count", route="/sum") == 5
    assert value("gateway_request_duration_seconds_sum", route="/sum") == pytest.approx(0.015)


def test_many_different_lines_take_no_memory(metrics: GatewayMetrics, value: Value) -> None:
    """They are understood before somebody asks, if nobody does for long."""
    for number in range(25_000):
        metrics.observe(HEADER + b"/sum 200 %d.000 0" % number)

    assert len(metrics._lines) < 10_000  # noqa: SLF001 - nothing shows it outside
    assert value("gateway_requests_total", route="/sum", status="200") == 25_000


def test_series_are_there_before_the_first_request(metrics: GatewayMetrics, value: Value) -> None:
    """Nobody sees a series grow that begins with 1, so those that alerts are about begin with 0."""
    del metrics

    for status in ("200", "401", "403", "429", "500", "502", "503", "504"):
        assert value("gateway_requests_total", route="/sum", status=status) == 0
    assert value("gateway_request_duration_seconds_count", route="/sum") == 0


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"/sum 200 0.003 0",
        HEADER + b"/sum 200 0.003",
        HEADER + b"/sum 200 0.003 2",
        HEADER + b"/sum 200 0.003 0\n<190>Nov 24 04:05:06 nginx: /sum 200 0.003 0 more",
        HEADER + b"/made-up 200 0.003 0",
        HEADER + b'/sum"} 200 0.003 0',
        HEADER + b"/" + b"a" * 33 + b" 200 0.003 0",
        b"\xff" * 100,
    ],
)
def test_another_line_is_counted_as_such(
    metrics: GatewayMetrics, registry: CollectorRegistry, value: Value, line: bytes
) -> None:
    """It makes no request and no label."""
    before = {sample.name for metric in registry.collect() for sample in metric.samples}

    metrics.observe(line)

    assert value("gateway_malformed_lines_total") == 1
    after = [sample for metric in registry.collect() for sample in metric.samples]
    assert {sample.name for sample in after} == before
    assert sum(s.value for s in after if s.name == "gateway_requests_total") == 0


# --- The program ----------------------------------------------------------------------------------


class Lines:
    """A socket that brings these lines; None is a moment without one. After them comes the end."""

    def __init__(self, *lines: bytes | None) -> None:
        self._lines = list(lines)
        self.bound: Any = None

    def recv(self, size: int) -> bytes:
        """Bring the next."""
        assert size >= 64
        if not self._lines or self._lines[0] is None:
            raise BlockingIOError
        return self._lines.pop(0) or b""

    def is_readable(self, seconds: float) -> bool:
        """See that no signal waits for long."""
        assert 0 < seconds <= 1
        if not self._lines:
            sys.exit(0)
        if self._lines[0] is None:
            del self._lines[0]
            return False
        return True

    def bind(self, address: Any) -> None:
        """Note where."""
        self.bound = address

    def setsockopt(self, *_: int) -> None:
        """Ignore."""

    def settimeout(self, seconds: float) -> None:
        """See that it does not block."""
        assert seconds == 0

    def __enter__(self) -> Self:
        """Ignore."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ignore."""


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Take back what the program does at signals."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Replace the environment."""
    environ: dict[str, str] = {}
    monkeypatch.setattr(os, "environ", environ)
    return environ


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Note what is served where, instead of doing it."""
    served: list[Any] = []
    monkeypatch.setattr(program, "start_http_server", lambda *where: served.append(where))
    return served


def test_lines_are_counted_until_the_end(
    environ: dict[str, str], served: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quiet times included; the metrics are served meanwhile, on the port that lines come to."""
    environ |= {"PORT": "9114", "HOST": "0.0.0.0"}  # noqa: S104 - nothing listens
    line = HEADER + b"/sum 200 0.003 0"
    lines = Lines(line, line, None, line)
    monkeypatch.setattr(socket, "socket", lambda *_: lines)
    monkeypatch.setattr(
        select,
        "select",
        lambda readable, _w, _x, seconds: (
            [one for one in readable if one.is_readable(seconds)],
            [],
            [],
        ),
    )

    with pytest.raises(SystemExit) as ended:
        program.main()

    assert ended.value.code == 0
    ((port, host, registry),) = served
    assert (host, port) == ("0.0.0.0", 9114)  # noqa: S104 - as above
    assert lines.bound == ("127.0.0.1", 9114)
    labels = {"route": "/sum", "status": "200"}
    assert registry.get_sample_value("gateway_requests_total", labels) == 3


def test_a_signal_ends_it_well(
    environ: dict[str, str], served: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing to save."""
    del environ, served

    def interrupted(*_: object) -> Lines:
        signal.raise_signal(signal.SIGTERM)
        return Lines()

    monkeypatch.setattr(socket, "socket", interrupted)

    with pytest.raises(SystemExit) as ended:
        program.main()

    assert ended.value.code == 0


def test_an_unusable_setting_is_told(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, by its name."""
    environ["PORT"] = "none"
    # A second run in one process is what runpy warns of.
    monkeypatch.delitem(sys.modules, "zama_api.gateway_metrics")

    with pytest.raises(SystemExit) as ended:
        runpy.run_module("zama_api.gateway_metrics", run_name="__main__")

    assert ended.value.code == 2
    errors = capsys.readouterr().err
    assert errors.startswith("gateway-metrics: PORT='none' cannot be used")
    assert errors.count("\n") == 1


def test_a_taken_port_is_told(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the address, and exit code 1."""
    del environ

    def refuse(*_: object) -> Lines:
        raise OSError("Address already in use")

    monkeypatch.setattr(socket, "socket", refuse)

    assert program.main() == 1
    assert "127.0.0.1:8080: Address already in use" in capsys.readouterr().err
