"""Readiness follows warm-up and draining; liveness needs no telling."""

from types import SimpleNamespace

import pytest

from zama_api import health
from zama_api.health import Health


class Clock:
    """A monotonic clock that goes when told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def monotonic(self) -> float:
        """Return the time, as the clock of module `time` does."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace the clock that the module under test reads."""
    clock = Clock()
    monkeypatch.setattr(health, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def test_warm_up_ends_after_the_delay(clock: Clock) -> None:
    """The service becomes ready when the delay is over, and not before."""
    health = Health(ready_delay_seconds=2)
    assert health.unready_because == "The service is warming up."

    clock.now += 1.999
    assert health.unready_because == "The service is warming up."

    clock.now += 0.001
    assert health.unready_because is None


@pytest.mark.usefixtures("clock")
def test_without_a_delay_the_service_is_ready_at_once() -> None:
    """A delay of zero costs no first answer."""
    assert Health(ready_delay_seconds=0).unready_because is None


@pytest.mark.parametrize("uptime", [0, 1, 10_000])
def test_draining_is_for_good_and_outweighs_warm_up(clock: Clock, uptime: int) -> None:
    """Once told to stop the service is never ready again, whenever that was."""
    health = Health(ready_delay_seconds=2)
    health.drain()
    clock.now += uptime

    assert health.draining
    assert health.unready_because == "The service is draining: it finishes its requests and stops."


def test_a_new_service_is_not_draining() -> None:
    """Draining begins with a signal."""
    assert not Health(ready_delay_seconds=0).draining


@pytest.mark.parametrize(
    ("passed", "shown"), [(0, 0), (12.3, 12.3), (0.0004, 0), (3.14159, 3.142), (86_400, 86_400)]
)
def test_uptime_counts_from_the_start_in_milliseconds(
    clock: Clock, passed: float, shown: float
) -> None:
    """Uptime is rounded to a millisecond and independent of the wall clock."""
    health = Health(ready_delay_seconds=2)
    clock.now += passed

    assert health.uptime_seconds == shown
