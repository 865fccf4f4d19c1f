"""Each package declares exactly the third-party packages that it imports."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from zama_ops.paths import ROOT


@pytest.mark.parametrize("folder", ["ops", "emulator", "services/api"])
def test_a_package_declares_its_imports(folder: str) -> None:
    """Its dependencies and extras are exactly the third-party packages that it imports."""
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
    extras = project.get("optional-dependencies", {}).values()
    declared = {re.split(r"[^\w-]", text)[0] for text in sum(extras, project["dependencies"])}
    ours = {path.name for path in (ROOT / folder / "src").iterdir()}
    imported = set().union(*map(imports, (ROOT / folder / "src").rglob("*.py")))
    providers = packages_distributions()
    # If an extra is not installed, its import names are taken as its packages' names.
    names = [providers.get(name, [name])[0] for name in imported - ours - sys.stdlib_module_names]
    assert {re.sub(r"[-_.]+", "-", name).lower() for name in names} == declared


def imports(path: Path) -> set[str]:
    """Return the top-level packages that a module imports at any level."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {a.name for node in nodes if isinstance(node, ast.Import) for a in node.names}
    froms = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.partition(".")[0] for name in plain | froms}
