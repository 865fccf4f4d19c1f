"""The configuration by itself: formatted, valid, and every promise of its own tests kept."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
    """Every run of terraform/**/tests/*.tftest.hcl; two files at a time, for they mostly wait."""
    folder, data = initialised

    def passed(file: Path) -> int:
        done = terraform(folder, data, "test", "-no-color", f"-filter=tests/{file.name}")
        result = re.search(r"Success! (\d+) passed, 0 failed", done.stdout)
        assert result, done.stdout + done.stderr
        return int(result[1])

    with ThreadPoolExecutor(2) as pool:
        runs = sum(pool.map(passed, sorted((folder / "tests").glob("*.tftest.hcl"))))
    assert runs > 0
    report(f"terraform test in {folder.name}: {runs} runs passed")
