"""docs/golden-path.md: a renamed copy is a working service."""

import contextlib
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from checkout import Checkout
from stack import ZAMA
from zama_ops.errors import CommandError
from zama_ops.local import new
from zama_ops.paths import ROOT
from zama_ops.programs import STOP_SECONDS, free_port

# `make setup` in the copy would install this as `orders`.
COMMAND: Final = (sys.executable, "-c", "from orders_ops.cli import app; app()")


def begin(name: str, target: Path) -> subprocess.CompletedProcess[str]:
    command = [str(ZAMA), "new", name, str(target)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def succeed(copy: Checkout, *command: str) -> str:
    """Run a command in the copy, which must succeed, and return its output."""
    done = copy.run(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextlib.contextmanager
def running(copy: Checkout) -> Iterator[tuple[str, str]]:
    """Run the copy's API and gateway while the block runs; yield the URL and the printed call."""
    port = str(free_port())
    environ = {"PORT": str(free_port()), "LISTEN_PORT": port, "DRAIN_SECONDS": "0"}
    with copy.start([*COMMAND, "up"], environ) as pair:
        try:
            assert pair.stderr
            call = next((line for line in pair.stderr if line.startswith("  curl ")), "")
            yield f"http://127.0.0.1:{port}", call
        finally:
            pair.send_signal(signal.SIGINT)
            pair.communicate(timeout=STOP_SECONDS)
    assert pair.returncode == 0


@pytest.mark.needs("curl")
@pytest.mark.timeout(300)
def test_a_copy_is_a_working_service(tmp_path: Path) -> None:
    """The old name is gone, the code is formatted, and the service starts and passes `smoke`."""
    target = tmp_path / "orders"
    done = begin("orders", target)
    assert done.returncode == 0, done.stderr
    copy = Checkout(target)
    # `make` would install it.
    (target / ".venv").symlink_to(ROOT / ".venv")
    assert copy.run("git", "grep", "--ignore-case", "--text", "--quiet", "zama").returncode == 1
    assert not [path for path in copy.git("ls-files").splitlines() if "zama" in path]
    ops = tomllib.loads((target / "ops" / "pyproject.toml").read_text())
    assert ops["project"]["scripts"] == {"orders": "orders_ops.cli:app"}

    # The commands of `make format`.
    succeed(copy, ".venv/bin/ruff", "check", "--quiet", "--fix-only")
    succeed(copy, ".venv/bin/ruff", "format", "--quiet")
    # A longer name makes some lines too long; the user wraps them.
    succeed(copy, ".venv/bin/ruff", "check", "--ignore=E501")
    # These depend on the name of packages, pages and keys.
    own = ("tests/repo/test_contract.py", "tests/operate/test_keyring.py")
    succeed(copy, ".venv/bin/pytest", "-q", *own)
    with running(copy) as (url, call):
        assert succeed(copy, "sh", "-c", call) == '{"sum":42}'
        succeed(copy, *COMMAND, "smoke", url)


@pytest.mark.parametrize("name", ["Orders", "o", "or-ders", "1orders", "ordersandmuchmore", "zama"])
def test_an_invalid_name_is_refused(tmp_path: Path, name: str) -> None:
    """The name is checked before any file is written."""
    with pytest.raises(CommandError, match="2 to 12 lower-case letters and digits"):
        new.copy(name, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """An existing directory is left unchanged."""
    done = begin("orders", tmp_path)
    assert done.returncode == 1
    assert "exists already" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_missing_git_is_one_line(tmp_path: Path) -> None:
    """It names the program to install."""
    command = [str(ZAMA), "new", "orders", str(tmp_path / "orders")]
    done = subprocess.run(
        command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (
        1,
        "zama: There is no git on the PATH: install git.\n",
    )
