"""Paths in the repository."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[3]

BUILD: Final = ROOT / "build"
"""Files that commands generate; git ignores it."""

TERRAFORM: Final = ROOT / "terraform"
BOOTSTRAP: Final = TERRAFORM / "bootstrap"
OBSERVABILITY: Final = ROOT / "observability"
DASHBOARD: Final = OBSERVABILITY / "grafana" / "dashboards" / "zama.json"
STAND_INS: Final = ROOT / "ops" / "stand-ins"
