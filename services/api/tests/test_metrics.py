"""Metrics count every finished request, with labels that callers cannot multiply."""

import platform
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
    """Metrics that have seen nothing yet."""
    return Metrics("1.2.3")


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    """Return a value as a scrape finds it, None where there is no such series."""
    values = [
        sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
        if (sample.name, sample.labels) == (name, labels)
    ]
    assert len(values) < 2, "a series must not occur twice"
    return values[0] if values else None


def test_requests_are_counted_by_method_route_and_status(
    metrics: Metrics, finished: Finished
) -> None:
    """Each combination is a series, and batches add up."""
    metrics.observe([finished(), finished(duration_ms=50), finished(status=422)])
    metrics.observe([finished(), finished(method="GET", route="/healthz")])

    name = "http_requests_total"
    assert sample(metrics, name, method="POST", route="/sum", status="200") == 3
    assert sample(metrics, name, method="POST", route="/sum", status="422") == 1
    assert sample(metrics, name, method="GET", route="/healthz", status="200") == 1
    assert sample(metrics, name, method="GET", route="/sum", status="200") is None


def test_requests_to_sum_are_counted_apart(metrics: Metrics, finished: Finished) -> None:
    """The business metric counts one route, whatever the answer, and is there from the start."""
    assert sample(metrics, "sum_requests_total") == 0

    metrics.observe([finished(), finished(status=422), finished(route="/healthz")])

    assert sample(metrics, "sum_requests_total") == 2


@pytest.mark.parametrize("bound", BUCKETS)
def test_a_bucket_includes_its_bound(metrics: Metrics, finished: Finished, bound: float) -> None:
    """A request that takes exactly as long as a bound says counts into it, a longer one not."""
    metrics.observe(
        [finished(duration_ms=round(bound * 1000, 3)), finished(duration_ms=bound * 1000 + 0.001)]
    )

    name = "http_request_duration_seconds_bucket"
    assert sample(metrics, name, route="/sum", le=str(bound)) == 1


def test_the_latency_objective_has_a_bucket(metrics: Metrics, finished: Finished) -> None:
    """How many requests took at most 100 ms can be read exactly."""
    metrics.observe([finished(duration_ms=took) for took in (0.2, 99.9, 100, 100.1, 250)])

    name = "http_request_duration_seconds_bucket"
    assert sample(metrics, name, route="/sum", le="0.1") == 3


def test_the_histogram_is_cumulative_and_in_seconds(metrics: Metrics, finished: Finished) -> None:
    """Buckets include the shorter ones; the sum and the count are those of the route."""
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


def test_requests_in_progress_are_shown(metrics: Metrics) -> None:
    """What has begun and not ended counts as in progress."""
    assert sample(metrics, "http_requests_in_progress") == 0

    metrics.in_progress += [None, None]
    assert sample(metrics, "http_requests_in_progress") == 2

    metrics.in_progress.pop()
    assert sample(metrics, "http_requests_in_progress") == 1


def test_the_build_is_shown(metrics: Metrics) -> None:
    """Which version runs on which Python can be read beside everything else."""
    assert sample(metrics, "build_info", version="1.2.3", python=platform.python_version()) == 1


@pytest.mark.parametrize(
    "name",
    ["process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"],
)
def test_the_process_is_measured(metrics: Metrics, name: str) -> None:
    """Memory, processor time and open files of the process are shown."""
    value = sample(metrics, name)
    assert value is not None
    assert value > 0


def test_the_runtime_is_measured(metrics: Metrics) -> None:
    """Garbage collections of the interpreter are shown."""
    assert sample(metrics, "python_gc_collections_total", generation="0") is not None


def test_two_sets_of_metrics_do_not_mix(metrics: Metrics, finished: Finished) -> None:
    """Nothing is kept in the process's global registry."""
    other = Metrics("1.2.3")
    other.observe([finished()])

    assert sample(other, "sum_requests_total") == 1
    assert sample(metrics, "sum_requests_total") == 0


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_usual_methods_are_labels(metrics: Metrics, finished: Finished, method: str) -> None:
    """The methods of everyday requests can be told apart."""
    metrics.observe([finished(method=method, status=405)])

    name = "http_requests_total"
    assert sample(metrics, name, method=method, route="/sum", status="405") == 1


@given(methods=st.lists(st.text(max_size=10), min_size=1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_invented_methods_share_one_label(finished: Finished, methods: list[str]) -> None:
    """A caller that sends many methods makes no more than one series beside the usual ones."""
    metrics = Metrics("1.2.3")
    metrics.observe([finished(method=f"X-{method}") for method in methods])

    name = "http_requests_total"
    assert sample(metrics, name, method="other", route="/sum", status="200") == len(methods)
    assert metrics.render().count(b"http_requests_total{") == 1
