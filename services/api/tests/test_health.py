"""Readiness depends on warm-up and draining; liveness does not."""

from types import SimpleNamespace

import pytest

from zama_api import health
from zama_api.health import Health


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Replace the clock that the module reads; a test sets `now`."""
    clock = SimpleNamespace(now=1_000_000.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(health, "time", clock)
    return clock


def test_warm_up_ends_after_the_delay(clock: SimpleNamespace) -> None:
    """The service becomes ready exactly when the delay is over."""
    health = Health(ready_delay_seconds=2)
    assert health.unready_because == "The service is warming up."

    clock.now += 1.999
    assert health.unready_because == "The service is warming up."

    clock.now += 0.001
    assert health.unready_because is None


@pytest.mark.parametrize("uptime", [0, 1, 10_000])
def test_draining_is_permanent_and_precedes_warm_up(clock: SimpleNamespace, uptime: int) -> None:
    """A draining service never becomes ready again, whenever the drain began."""
    health = Health(ready_delay_seconds=2)
    health.drain()
    clock.now += uptime

    assert health.draining
    assert health.unready_because == "The service is draining: it finishes its requests and stops."


@pytest.mark.parametrize(
    ("passed", "shown"), [(0, 0), (12.3, 12.3), (0.0004, 0), (3.14159, 3.142), (86_400, 86_400)]
)
def test_uptime_is_counted_from_the_start_in_milliseconds(
    clock: SimpleNamespace, passed: float, shown: float
) -> None:
    """Uptime is rounded to a millisecond and independent of the wall clock."""
    health = Health(ready_delay_seconds=2)
    clock.now += passed

    assert health.uptime_seconds == shown
