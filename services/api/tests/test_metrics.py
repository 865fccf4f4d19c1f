"""Metrics count every finished request, with labels that callers cannot multiply."""

import platform
import re
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from zama_api.logs import Request
from zama_api.metrics import BUCKETS, Metrics

Finished = Callable[..., Request]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    """Return the value that a scrape finds, or None if the series does not exist."""
    values = [
        sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
        if (sample.name, sample.labels) == (name, labels)
    ]
    assert len(values) < 2, "a series occurs twice"
    return values[0] if values else None


def test_requests_are_counted_by_method_route_and_status(
    metrics: Metrics, finished: Finished
) -> None:
    """Each combination is a series, batches add up, and the business metric counts `/sum` only."""
    assert sample(metrics, "sum_requests_total") == 0

    metrics.observe([finished(), finished(duration_ms=50), finished(status=422)])
    metrics.observe([finished(), finished(method="GET", route="/healthz")])

    name = "http_requests_total"
    assert sample(metrics, name, method="POST", route="/sum", status="200") == 3
    assert sample(metrics, name, method="POST", route="/sum", status="422") == 1
    assert sample(metrics, name, method="GET", route="/healthz", status="200") == 1
    assert sample(metrics, name, method="GET", route="/sum", status="200") is None
    assert sample(metrics, "sum_requests_total") == 4
    assert sample(Metrics("1.2.3"), "sum_requests_total") == 0, (
        "the count is shared between instances"
    )


@pytest.mark.parametrize("bound", BUCKETS)
def test_a_bucket_includes_its_bound(metrics: Metrics, finished: Finished, bound: float) -> None:
    """A request that takes exactly the bound is in the bucket, and a longer one is not.

    The latency objective is a bound, so the share of fast requests is exact.
    """
    assert 0.1 in BUCKETS
    metrics.observe(
        [finished(duration_ms=round(bound * 1000, 3)), finished(duration_ms=bound * 1000 + 0.001)]
    )

    name = "http_request_duration_seconds_bucket"
    assert sample(metrics, name, route="/sum", le=str(bound)) == 1


def test_the_histogram_is_cumulative_and_in_seconds(metrics: Metrics, finished: Finished) -> None:
    """A bucket includes the shorter ones, and each route has its own total time and count."""
    metrics.observe([finished(duration_ms=took) for took in (0.05, 0.2, 0.2, 5_000)])
    metrics.observe([finished(route="/healthz", duration_ms=30)])

    name = "http_request_duration_seconds"
    assert sample(metrics, f"{name}_bucket", route="/sum", le="0.0001") == 1
    assert sample(metrics, f"{name}_bucket", route="/sum", le="0.00025") == 3
    assert sample(metrics, f"{name}_bucket", route="/sum", le="1.0") == 3
    assert sample(metrics, f"{name}_bucket", route="/sum", le="+Inf") == 4
    assert sample(metrics, f"{name}_count", route="/sum") == 4
    assert sample(metrics, f"{name}_sum", route="/sum") == pytest.approx(5.00045)
    assert sample(metrics, f"{name}_sum", route="/healthz") == pytest.approx(0.03)


def test_process_metrics_are_exposed(metrics: Metrics) -> None:
    """Metrics include memory, CPU time, open files, garbage collections and two versions."""
    for name in ("resident_memory_bytes", "cpu_seconds_total", "open_fds"):
        assert sample(metrics, f"process_{name}")
    assert sample(metrics, "python_gc_collections_total", generation="0") is not None
    assert sample(metrics, "build_info", version="1.2.3", python=platform.python_version()) == 1


@given(methods=st.lists(st.text(max_size=10), min_size=1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_invented_methods_share_one_label(finished: Finished, methods: list[str]) -> None:
    """All unknown methods together add one series."""
    metrics = Metrics("1.2.3")
    usual = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    metrics.observe([finished(method=method) for method in usual])
    metrics.observe([finished(method=f"X-{method}") for method in methods])

    name = "http_requests_total"
    assert sample(metrics, name, method="other", route="/sum", status="200") == len(methods)
    shown = re.findall(r'http_requests_total{method="(\w+)"', metrics.render().decode())
    assert sorted(shown) == sorted([*usual, "other"])
