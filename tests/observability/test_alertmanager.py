"""Alertmanager's routes."""

import subprocess
from typing import Final

import pytest

from zama_ops.paths import OBSERVABILITY

CONFIGURATION: Final = OBSERVABILITY / "alertmanager" / "alertmanager.yaml"


def amtool(*words: str) -> str:
    done = subprocess.run(["amtool", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.mark.needs("alertmanager")
def test_the_configuration_is_valid() -> None:
    """`amtool` accepts it."""
    assert "SUCCESS" in amtool("check-config", str(CONFIGURATION))


@pytest.mark.needs("alertmanager")
@pytest.mark.parametrize("severity", ["page", "ticket"])
def test_a_severity_has_its_receiver(severity: str) -> None:
    """Pages and tickets have different receivers."""
    route = ["config", "routes", "test", f"--config.file={CONFIGURATION}", f"severity={severity}"]
    assert amtool(*route) == severity
