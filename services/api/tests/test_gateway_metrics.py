"""Each line of the gateway is counted once, and nothing else is counted."""

import os
import runpy
import signal
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from zama_api import gateway_metrics as program
from zama_api.gateway_metrics import GatewayMetrics
from zama_ops.programs import free_port, wait_until

HEADER = b"<190>Nov 24 04:05:06 nginx: "


@pytest.fixture
def metrics() -> GatewayMetrics:
    return GatewayMetrics()


def value(metrics: GatewayMetrics, name: str, **labels: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(metrics)
    return registry.get_sample_value(name, labels)


def test_a_line_counts_as_a_request(metrics: GatewayMetrics) -> None:
    """A line adds to its route's count, status and duration."""
    metrics.observe(HEADER + b"/sum 200 0.003 0")

    assert value(metrics, "gateway_requests_total", route="/sum", status="200") == 1
    assert value(metrics, "gateway_request_duration_seconds_sum", route="/sum") == 0.003
    assert value(metrics, "gateway_request_duration_seconds_bucket", route="/sum", le="0.0025") == 0
    assert value(metrics, "gateway_request_duration_seconds_bucket", route="/sum", le="0.005") == 1
    assert value(metrics, "gateway_upstream_retries_total") == 0


def test_only_answered_requests_have_a_duration(metrics: GatewayMetrics) -> None:
    """Refusals and errors do not count towards the latency objective."""
    for status in (b"403", b"499_late", b"502", b"0"):
        metrics.observe(HEADER + b"/sum " + status + b" 1.000 0")

    assert value(metrics, "gateway_requests_total", route="/sum", status="499_late") == 1
    assert value(metrics, "gateway_requests_total", route="/sum", status="502") == 1
    assert value(metrics, "gateway_request_duration_seconds_count", route="/sum") == 0


def test_a_retry_counts_if_it_succeeded(metrics: GatewayMetrics) -> None:
    """A failed retry is not counted: while the API is down, every request is retried."""
    metrics.observe(HEADER + b"/sum 200 0.003 1")
    metrics.observe(HEADER + b"/sum 422 0.003 1")
    metrics.observe(HEADER + b"/sum 502 0.003 1")

    assert value(metrics, "gateway_upstream_retries_total") == 2


def test_equal_lines_are_separate_requests(metrics: GatewayMetrics) -> None:
    """Equal lines are counted separately, before and after a scrape."""
    for _ in range(3):
        metrics.observe(HEADER + b"/sum 200 0.003 0")
    assert value(metrics, "gateway_requests_total", route="/sum", status="200") == 3
    for _ in range(2):
        metrics.observe(HEADER + b"/sum 200 0.003 0")

    assert value(metrics, "gateway_requests_total", route="/sum", status="200") == 5
    assert value(metrics, "gateway_request_duration_seconds_count", route="/sum") == 5
    assert value(metrics, "gateway_request_duration_seconds_sum", route="/sum") == pytest.approx(
        0.015
    )


def test_many_different_lines_need_bounded_memory(metrics: GatewayMetrics) -> None:
    """Lines are parsed before they pile up, even if no scrape asks for them."""
    for number in range(25_000):
        metrics.observe(HEADER + b"/sum 200 %d.000 0" % number)

    assert len(metrics._lines) < 10_000  # noqa: SLF001 - nothing shows it outside
    assert value(metrics, "gateway_requests_total", route="/sum", status="200") == 25_000


def test_the_newest_number_of_connections_is_shown(metrics: GatewayMetrics) -> None:
    """A sample is not a request; before the first one, there is no series."""
    assert value(metrics, "gateway_connections") is None
    for connections in (b"12", b"8191", b"3"):
        metrics.observe(HEADER + b"connections " + connections)
        assert value(metrics, "gateway_connections") == int(connections)
    assert value(metrics, "gateway_malformed_lines_total") == 0


def test_series_exist_before_the_first_request(metrics: GatewayMetrics) -> None:
    """A series that starts at 1 shows no increase, so series used by alerts start at 0."""
    for status in ("200", "401", "403", "429", "499_late", "500", "502", "503", "504"):
        assert value(metrics, "gateway_requests_total", route="/sum", status=status) == 0
    assert value(metrics, "gateway_request_duration_seconds_count", route="/sum") == 0


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"/sum 200 0.003 0",
        HEADER + b"/sum 200 0.003",
        HEADER + b"/sum 200 0.003 2",
        HEADER + b"/sum 200_late 0.003 0",
        HEADER + b"connections 1 2",
        HEADER + b"connections many",
        HEADER + b"/sum 200 0.003 0\n<190>Nov 24 04:05:06 nginx: /sum 200 0.003 0 more",
        HEADER + b"/made-up 200 0.003 0",
        HEADER + b'/sum"} 200 0.003 0',
        HEADER + b"/" + b"a" * 33 + b" 200 0.003 0",
        b"\xff" * 100,
    ],
)
def test_a_malformed_line_is_counted_as_such(metrics: GatewayMetrics, line: bytes) -> None:
    """A malformed line adds no request and no label."""
    before = {sample.name for metric in metrics.collect() for sample in metric.samples}

    metrics.observe(line)

    assert value(metrics, "gateway_malformed_lines_total") == 1
    after = [sample for metric in metrics.collect() for sample in metric.samples]
    assert {sample.name for sample in after} == before
    assert sum(s.value for s in after if s.name == "gateway_requests_total") == 0


# --- The program ----------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Restore the signal handlers that the program sets."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_lines_are_counted_until_a_signal(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program counts lines from localhost, on the port that it serves metrics on."""
    port = free_port()
    environ |= {"PORT": str(port), "HOST": "0.0.0.0"}  # noqa: S104 - nothing listens
    served: list[Any] = []
    monkeypatch.setattr(program, "start_http_server", lambda *where: served.append(where))
    monkeypatch.setattr(program, "_PATIENCE_SECONDS", 0.001)

    def counted(count: int) -> bool:
        labels = {"route": "/sum", "status": "200"}
        return (
            bool(served)
            and served[0][2].get_sample_value("gateway_requests_total", labels) == count
        )

    def call() -> None:
        try:
            wait_until(lambda: counted(0), "it listens")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nginx:
                # This fails if the program listens on all addresses.
                nginx.bind(("127.0.0.2", port))
                for count in (1, 2, 3):
                    nginx.sendto(HEADER + b"/sum 200 0.003 0", ("127.0.0.1", port))
                    wait_until(partial(counted, count), "a line is counted")
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    with ThreadPoolExecutor() as pool:
        called = pool.submit(call)
        with pytest.raises(SystemExit) as ended:
            program.main()
        called.result()

    assert ended.value.code == 0
    assert served[0][:2] == (port, "0.0.0.0")  # noqa: S104 - as above


def test_an_invalid_setting_is_reported(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line names the invalid setting."""
    environ["PORT"] = "none"
    # runpy warns about a module that is already imported.
    monkeypatch.delitem(sys.modules, "zama_api.gateway_metrics")

    with pytest.raises(SystemExit) as ended:
        runpy.run_module("zama_api.gateway_metrics", run_name="__main__")

    assert ended.value.code == 2
    errors = capsys.readouterr().err
    assert errors.startswith("gateway-metrics: PORT='none' cannot be used")
    assert errors.count("\n") == 1


def test_a_taken_port_is_reported(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The message has the address, and the exit code is 1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        environ["PORT"] = str(other.getsockname()[1])

        assert program.main() == 1
    errors = capsys.readouterr().err
    assert f"127.0.0.1:{environ['PORT']}: " in errors
    assert "Address already in use" in errors
