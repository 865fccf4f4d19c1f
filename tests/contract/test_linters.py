"""Linters that API designers use find nothing to improve in the contract."""

import os
import subprocess
from typing import Final

import pytest

from conftest import CONTRACT_TOOLS
from zama_ops.paths import ROOT

pytestmark = pytest.mark.needs("npm")

LINTERS: Final = {
    # With this rule set, warnings are errors.
    "redocly": ("lint", "--extends", "recommended-strict"),
    "spectral": (
        *("lint", "--fail-severity", "hint"),
        *("--ruleset", str(ROOT / "tests" / "contract" / "spectral.yaml")),
    ),
}
# Redocly calls no other host.
QUIET: Final = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}


@pytest.mark.parametrize("linter", LINTERS)
def test_a_linter_finds_nothing(linter: str) -> None:
    """Neither an error nor a warning, by the rules that the linter recommends."""
    done = subprocess.run(
        [
            str(CONTRACT_TOOLS / "node_modules" / ".bin" / linter),
            *LINTERS[linter],
            str(ROOT / "services" / "api" / "openapi.yaml"),
        ],
        env={**os.environ, **QUIET},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
