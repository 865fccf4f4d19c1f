"""The configuration is formatted and valid, and its own tests pass."""

import re
from pathlib import Path

import pytest

from stack import Report
from terraform import FOLDERS, terraform


def test_it_is_formatted(tmp_path: Path) -> None:
    """`terraform fmt` would change nothing."""
    done = terraform(FOLDERS["service"], tmp_path, "fmt", "-check", "-recursive")
    assert done.stdout == ""
    assert done.returncode == 0


@pytest.mark.parametrize("name", FOLDERS)
def test_it_is_valid(name: str, provider: dict[str, Path]) -> None:
    """`terraform validate` succeeds without a backend."""
    done = terraform(FOLDERS[name], provider[name], "validate", "-no-color")
    assert "The configuration is valid." in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("name", FOLDERS)
def test_its_own_tests_pass(name: str, provider: dict[str, Path], report: Report) -> None:
    """Every run of terraform/**/*.tftest.hcl passes."""
    done = terraform(FOLDERS[name], provider[name], "test", "-no-color")
    passed = re.search(r"Success! ([1-9]\d*) passed, 0 failed", done.stdout)
    assert passed, done.stdout + done.stderr
    report(f"terraform test in {FOLDERS[name].name}: {passed[1]} runs passed")
