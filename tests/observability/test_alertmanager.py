"""Alertmanager's routes."""

from typing import Final

import pytest

from zama_ops.paths import OBSERVABILITY
from zama_ops.programs import run

CONFIGURATION: Final = OBSERVABILITY / "alertmanager" / "alertmanager.yaml"


@pytest.mark.needs("alertmanager")
def test_the_configuration_is_valid() -> None:
    """`amtool` accepts it."""
    assert "SUCCESS" in run("amtool", "check-config", str(CONFIGURATION))


@pytest.mark.needs("alertmanager")
@pytest.mark.parametrize(
    ("severity", "receiver"), [("page", "page"), ("ticket", "ticket"), ("none", "heartbeat")]
)
def test_a_severity_has_its_receiver(severity: str, receiver: str) -> None:
    """Pages, tickets and the heartbeat have different receivers."""
    route = ["config", "routes", "test", f"--config.file={CONFIGURATION}", f"severity={severity}"]
    assert run("amtool", *route) == f"{receiver}\n"
