"""Where things are in the repository."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[3]

BUILD: Final = ROOT / "build"
"""For files that commands make of a commit; git ignores it."""

TERRAFORM: Final = ROOT / "terraform"
BOOTSTRAP: Final = TERRAFORM / "bootstrap"
OBSERVABILITY: Final = ROOT / "observability"
STAND_INS: Final = ROOT / "ops" / "stand-ins"
