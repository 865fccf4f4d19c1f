"""docs/golden-path.md: a copy under other names is a working service, which can be changed."""

import contextlib
import errno
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from checkout import Checkout
from stack import ZAMA
from zama_ops.errors import CommandError
from zama_ops.local import new
from zama_ops.paths import ROOT
from zama_ops.programs import STOP_SECONDS, free_port

PAGE: Final = (ROOT / "docs" / "golden-path.md").read_text()

# `make setup` in the copy would install this as `orders`.
COMMAND: Final = (sys.executable, "-c", "from orders_ops.cli import app; app()")


# Uses of the word that are not the operation: functions of Python, PromQL and Terraform, a
# statistic of CloudWatch, and a series of each Prometheus histogram.
OTHERS: Final = re.compile(
    r'(?<![.\w])sum\(|sum by|sum_over_time|"Sum"[],})\n]|(?:seconds|\})_sum\b'
)


def begin(name: str, target: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(ZAMA), "new", name, str(target), *options]
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


def leftovers(copy: Checkout) -> list[str]:
    """Return the places where the copy still has the old names, or a mark."""
    found = []
    for name in copy.git("ls-files").splitlines():
        try:
            text = OTHERS.sub("", (copy.path / name).read_text())
        except UnicodeDecodeError:
            continue
        words = re.findall(
            r"(?i)zama|only here|in a copy: |addend|(?:(?<![a-z0-9])|(?<=\\n))sums?(?![a-z0-9]).*",
            f"{name}\n{text}",
        )
        found += [f"{name}: {word}" for word in words]
    return found


def apply_differences(copy: Checkout) -> None:
    """Make the changes that the page shows; each line occurs once in its file."""
    for block in re.findall(r"^```diff\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        for part in block.removeprefix("--- ").split("\n--- "):
            name, _, lines = part.partition("\n")
            for change in re.findall(r"(?:^-.*\n)+(?:^\+.*(?:\n|\Z))+", lines, re.MULTILINE):
                old, new = (
                    "".join(re.findall(rf"^\{sign}(.*\n?)", change, re.MULTILINE)) for sign in "-+"
                )
                copy.edit(name, old.rstrip("\n"), new.rstrip("\n"))


@pytest.mark.needs("curl")
@pytest.mark.timeout(300)
def test_a_copy_is_a_working_service(tmp_path: Path) -> None:
    """The old names are gone, the code is formatted, and the service starts and passes `smoke`.

    It also passes its tests after the changes that the page shows.
    """
    target = tmp_path / "orders"
    done = begin("orders", target, "--operation", "total")
    assert done.returncode == 0, done.stderr
    copy = Checkout(target)
    # `make` would install it.
    (target / ".venv").symlink_to(ROOT / ".venv")
    assert leftovers(copy) == []
    ops = tomllib.loads((target / "ops" / "pyproject.toml").read_text())
    assert ops["project"]["scripts"] == {"orders": "orders_ops.cli:app"}

    # The commands of `make format`, and the linter of `make lint`.
    succeed(copy, ".venv/bin/ruff", "check", "--quiet", "--fix-only")
    succeed(copy, ".venv/bin/ruff", "format", "--quiet")
    succeed(copy, ".venv/bin/ruff", "check")
    # These depend on the names, and on the parts that the copy leaves out.
    own = ("tests/repo", "tests/docs/test_links.py", "tests/operate/test_keyring.py")
    succeed(copy, ".venv/bin/pytest", "-q", *own)
    with running(copy) as (url, call):
        assert succeed(copy, "sh", "-c", call) == '{"total":42}'
        succeed(copy, *COMMAND, "smoke", url)

    apply_differences(copy)
    (commands,) = re.findall(r"^(git grep .*sed .*)$", PAGE, re.MULTILINE)
    succeed(copy, "git", "add", "--all")
    succeed(copy, "sh", "-c", commands)
    with running(copy) as (url, call):
        assert succeed(copy, "sh", "-c", call) == '{"total":42}'
        succeed(copy, *COMMAND, "smoke", url)


@pytest.mark.parametrize("name", ["Orders", "o", "or-ders", "1orders", "ordersandmuchmore", "zama"])
def test_an_invalid_name_is_refused(tmp_path: Path, name: str) -> None:
    """The name is checked before any file is written."""
    with pytest.raises(CommandError, match="2 to 12 lower-case letters and digits"):
        new.copy(name, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("operation", ["", "Total", "t", "sub-total", "total2", "grand_total"])
def test_an_invalid_operation_is_refused(tmp_path: Path, operation: str) -> None:
    """The message explains the grammar, and nothing is written."""
    told = f"^{operation!r} is not a valid operation. Use 2 to 20 lower-case letters.$"
    with pytest.raises(CommandError, match=told):
        new.copy("orders", tmp_path / "copy", operation)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("operation", ["sum", "healthz", "docs", "request", "lambda", "zamas"])
def test_a_reserved_operation_is_refused(tmp_path: Path, operation: str) -> None:
    """It is the present one, another path of the gateway, a word of Python or the old name."""
    with pytest.raises(CommandError, match=f"cannot be '{operation}'.*Choose another"):
        new.copy("orders", tmp_path / "copy", operation)
    assert not list(tmp_path.iterdir())


def test_a_copy_that_fails_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, for example, is one line and leaves nothing behind."""
    whole = new._copy_file  # noqa: SLF001

    def fail(path: str, *others: Any) -> None:
        if path == "README.md":
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(path, *others)

    monkeypatch.setattr(new, "_copy_file", fail)
    with pytest.raises(CommandError, match="copy cannot be written: No space left on device"):
        new.copy("orders", tmp_path / "copy")
    assert not list(tmp_path.iterdir())


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


def test_a_directory_that_cannot_be_written_is_one_line() -> None:
    """It is named, with the system's reason."""
    done = begin("orders", Path("/dev/null/orders"))
    assert (done.returncode, done.stderr) == (
        1,
        "zama: /dev/null/orders cannot be written: Not a directory.\n",
    )


def test_a_copy_needs_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An unpacked archive does not say which files belong to the repository."""
    monkeypatch.setattr(new, "ROOT", tmp_path)
    with pytest.raises(CommandError, match=f"{tmp_path} is not a git checkout. Clone"):
        new.copy("orders", tmp_path / "orders")
