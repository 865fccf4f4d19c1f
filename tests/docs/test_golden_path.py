"""docs/golden-path.md: a copy under another name is a service that works."""

import subprocess
from pathlib import Path

import pytest

from checkout import Checkout
from stack import ROOT, ZAMA


def begin(name: str, target: Path) -> subprocess.CompletedProcess[str]:
    """Run `zama new`."""
    command = [str(ZAMA), "new", name, str(target)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.timeout(300)
def test_a_copy_is_a_service(tmp_path: Path) -> None:
    """Nothing is called as before, and its own tests pass, those through its gateway too."""
    target = tmp_path / "orders"
    done = begin("orders", target)
    assert done.returncode == 0, done.stderr
    copy = Checkout(target)
    # What `make` would install in it.
    for installed in (".venv", "services/nginx/docs/swagger-ui"):
        (target / installed).symlink_to(ROOT / installed)
    assert copy.run("git", "grep", "--ignore-case", "--text", "--quiet", "zama").returncode == 1
    assert not [path for path in copy.git("ls-files").splitlines() if "zama" in path]
    # Another name's length and place in the alphabet change layout and order only.
    own = ("services", "tests/repo", "tests/gateway/test_contract.py")
    for command in (
        # What `make format` calls.
        [".venv/bin/ruff", "check", "--quiet", "--fix-only"],
        [".venv/bin/ruff", "format", "--quiet"],
        # A longer name makes some lines too long, which a person breaks.
        [".venv/bin/ruff", "check", "--ignore=E501"],
        [".venv/bin/pytest", "-q", "-m", "not needs", *own],
    ):
        done = copy.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["Orders", "o", "or-ders", "1orders", "ordersandmuchmore", "zama"])
def test_a_name_that_cannot_be_used_is_refused(tmp_path: Path, name: str) -> None:
    """Before anything is written."""
    done = begin(name, tmp_path / "copy")
    assert done.returncode == 1
    assert "2 to 12 lower-case letters and digits" in done.stderr
    assert not (tmp_path / "copy").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A directory that is there stays as it is."""
    done = begin("orders", tmp_path)
    assert done.returncode == 1
    assert "is there already" in done.stderr
    assert not list(tmp_path.iterdir())
