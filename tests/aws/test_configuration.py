"""The configuration by itself: formatted, valid, and every promise of its own tests kept."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from terraform import FOLDERS, terraform


@pytest.fixture(scope="module", params=FOLDERS)
def initialised(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Return each folder and where its provider was installed to."""
    folder = FOLDERS[request.param]
    data = tmp_path_factory.mktemp(request.param)
    done = terraform(folder, data, "init", "-backend=false", "-lockfile=readonly")
    assert done.returncode == 0, done.stderr
    return folder, data


def test_it_is_formatted(tmp_path: Path) -> None:
    """As `terraform fmt` has it."""
    done = terraform(FOLDERS["service"], tmp_path, "fmt", "-check", "-recursive")
    assert done.stdout == ""
    assert done.returncode == 0


def test_it_is_valid(initialised: tuple[Path, Path]) -> None:
    """Also without a backend."""
    done = terraform(*initialised, "validate", "-no-color")
    assert "The configuration is valid." in done.stdout, done.stdout + done.stderr


def test_its_own_tests_pass(initialised: tuple[Path, Path], report: Callable[[str], None]) -> None:
    """Every run of terraform/**/tests/*.tftest.hcl."""
    done = terraform(*initialised, "test", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr
    result = re.search(r"Success! (\d+) passed, 0 failed", done.stdout)
    assert result
    report(f"terraform test in {initialised[0].name}: {result[1]} runs passed")
