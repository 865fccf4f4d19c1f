"""Which modules import which: arrows point from commands to shared modules."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

import pytest

from zama_ops.paths import ROOT

OPS: Final = ROOT / "ops" / "src" / "zama_ops"
EMULATOR: Final = ROOT / "emulator" / "src" / "zama_emulator"


def tree(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


def imported(path: Path) -> Iterator[str]:
    """Yield the full names of a module's imports at any level."""
    for node in tree(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module(path: Path) -> str:
    """Return the full name of a module of `zama`."""
    return ".".join(("zama_ops", *path.relative_to(OPS).with_suffix("").parts))


MODULES: Final = {
    module(path): path for path in sorted(OPS.rglob("*.py")) if path.name != "__init__.py"
}
COMMANDS: Final = set(imported(OPS / "cli.py")) & set(MODULES)


def test_commands_are_in_three_folders() -> None:
    """Each command is in the folder of its group."""
    assert {name.split(".")[1] for name in COMMANDS} == {"local", "service", "delivery"}
    assert len(COMMANDS) > 10


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_a_command_imports_no_command(command: str) -> None:
    """Code that two commands need is in a shared module."""
    assert not set(imported(MODULES[command])) & COMMANDS


@pytest.mark.parametrize("module", sorted(set(MODULES) - COMMANDS - {"zama_ops.cli"}))
def test_a_shared_module_imports_no_command(module: str) -> None:
    """It also imports no module of another folder."""
    found = set(imported(MODULES[module])) & set(MODULES)
    assert not found & COMMANDS
    own = module.rpartition(".")[0]
    assert {name.rpartition(".")[0] for name in found} <= {"zama_ops", own}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_production_code_needs_no_emulator_and_no_tests(name: str) -> None:
    """It starts the emulator as a program, and reads no file of the tests."""
    packages = {one.partition(".")[0] for one in imported(MODULES[name])}
    assert not packages & {"zama_emulator", "ministack", "moto", "docker", "conftest", "stack"}
    texts = {node.value for node in tree(MODULES[name]) if isinstance(node, ast.Constant)}
    assert "tests" not in texts


@pytest.mark.parametrize(
    "path", sorted(EMULATOR.rglob("*.py")), ids=lambda path: str(path.relative_to(EMULATOR))
)
def test_the_emulator_is_independent_of_the_service(path: Path) -> None:
    """The emulator is a package for any service on ECS."""
    packages = {one.partition(".")[0] for one in imported(path)}
    assert not packages & {"zama_ops", "zama_api"}


@pytest.mark.parametrize("folder", ["ops", "emulator", "services/api"])
def test_a_package_declares_its_imports(folder: str) -> None:
    """Its dependencies and extras are exactly the third-party packages that it imports."""
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
    extras = project.get("optional-dependencies", {}).values()
    declared = {re.split(r"[^\w-]", text)[0] for text in sum(extras, project["dependencies"])}
    sources = ROOT / folder / "src"
    ours = {path.name for path in sources.iterdir()}
    names = {name.partition(".")[0] for path in sources.rglob("*.py") for name in imported(path)}
    providers = packages_distributions()
    # If an extra is not installed, its import names are taken as its packages' names.
    used = {providers.get(name, [name])[0] for name in names - ours - sys.stdlib_module_names}
    assert {re.sub(r"[-_.]+", "-", name).lower() for name in used} == declared


def test_the_map_names_every_module() -> None:
    """ops/README.md has one line for each module."""
    map_ = (ROOT / "ops" / "README.md").read_text()
    named = re.findall(r"^\| \[`([\w/]+)\.py`\]\(src/zama_ops/\1\.py\) \|", map_, re.MULTILINE)
    assert sorted(named) == sorted(
        path.relative_to(OPS).with_suffix("").as_posix() for path in MODULES.values()
    )


def test_every_test_has_a_docstring() -> None:
    """The docstring states the behaviour in one sentence."""
    mute = [
        f"{path.name}::{node.name}"
        for folder in ("tests", "services/api/tests", "emulator/tests")
        for path in (ROOT / folder).rglob("test_*.py")
        for node in tree(path)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        if not ast.get_docstring(node)
    ]
    assert not mute


def test_terraform_accepts_only_versions_like_the_tested_one() -> None:
    """Each folder's constraint ends below the major version after the locked one."""
    for lock in ROOT.glob("terraform/**/.terraform.lock.hcl"):
        (locked,) = re.findall(r'version *= "(\d+\.\d+)\.\d+"', lock.read_text())
        versions = (lock.parent / "versions.tf").read_text()
        assert re.findall(r'\bversion *= "(.+)"', versions) == [f"~> {locked}"], lock.parent
