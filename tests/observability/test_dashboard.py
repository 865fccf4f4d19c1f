"""The Grafana dashboard follows Grafana's own schema, the npm package @grafana/schema."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from conftest import CONTRACT_TOOLS
from zama_ops.paths import DASHBOARD, ROOT
from zama_ops.programs import complete

TYPES: Final = Path(__file__).with_name("dashboard.ts").read_text()
FAULTS: Final[dict[str, Callable[[str], str]]] = {
    "a misspelled option": lambda text: text.replace('"placement"', '"placment"', 1),
    "a misspelled option of a series": lambda text: text.replace(
        '"fillOpacity"', '"fillOpacty"', 1
    ),
    "an unknown value": lambda text: text.replace('"right"', '"rihgt"', 1),
    "an unknown panel": lambda text: text.replace('"stat"', '"stats"', 1),
    "a misspelled colour": lambda text: text.replace('"fixedColor"', '"fixedColour"', 1),
    "a text instead of a number": lambda text: text.replace('"h": 8', '"h": "8"', 1),
}


def errors(folder: Path, dashboards: dict[str, str]) -> dict[str, str]:
    """Return the compiler's first error in each of the faulty dashboards."""
    folder.joinpath("node_modules").symlink_to(CONTRACT_TOOLS / "node_modules")
    folder.joinpath("dashboard.ts").write_text(TYPES)
    for number, text in enumerate(dashboards.values()):
        folder.joinpath(f"{number}.ts").write_text(
            'import type { GrafanaDashboard } from "./dashboard";\n'
            f"export const dashboard: GrafanaDashboard = {text};\n"
        )
    tsc = CONTRACT_TOOLS / "node_modules" / ".bin" / "tsc"
    options = ("--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--lib", "es2022")
    files = [f"{number}.ts" for number in range(len(dashboards))]
    done = complete(
        str(tsc), *options, "--moduleResolution", "bundler", "--module", "esnext", *files,
        cwd=folder,
    )  # fmt: skip
    found: dict[str, str] = {}
    for line in done.stdout.splitlines():
        file, _, message = line.partition("(")
        assert file in (*files, "") or line.startswith(" "), line
        if file in files:
            found.setdefault([*dashboards][files.index(file)], message)
    return found


@pytest.mark.needs("npm")
def test_the_dashboard_follows_the_schema(tmp_path: Path) -> None:
    """The schema of the Grafana that compose starts accepts it, and refuses each of the faults."""
    text = DASHBOARD.read_text()
    faulty = {fault: change(text) for fault, change in FAULTS.items()}
    assert text not in faulty.values()
    assert errors(tmp_path, {"none": text, **faulty}).keys() == faulty.keys()


def test_the_schema_is_of_the_same_release() -> None:
    """Compose and the npm package name the same release of Grafana."""
    compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
    packages = json.loads((ROOT / "tests" / "contract" / "package.json").read_text())
    release = packages["devDependencies"]["@grafana/schema"]
    assert f"/grafana:{release}@" in compose["services"]["grafana"]["image"]


def test_panels_fill_the_grid() -> None:
    """Each row is full, no panel overlaps another, and each has its own id."""
    panels: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    cells = [
        (x, y)
        for one in (panel["gridPos"] for panel in panels)
        for x in range(one["x"], one["x"] + one["w"])
        for y in range(one["y"], one["y"] + one["h"])
    ]
    height = max(y for _, y in cells) + 1
    assert sorted(cells) == [(x, y) for x in range(24) for y in range(height)]
    assert len({panel["id"] for panel in panels}) == len(panels)
