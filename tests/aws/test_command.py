"""`zama aws-local`, as far as it needs no AWS."""

import contextlib
import subprocess
from pathlib import Path

import pytest

from deployment import Deployment
from stack import ZAMA
from zama_ops.account import Account
from zama_ops.commands import CommandError
from zama_ops.emulator import PORTS


def zama(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command with no other environment than this."""
    command = [str(ZAMA), "aws-local", *words]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def test_help_teaches() -> None:
    """Every subcommand says what it does and what it needs."""
    shown = " ".join(zama("--help").stdout.split())
    for phrase in ("without an account", "Docker and terraform", "Write plan.txt", "for eval"):
        assert phrase in shown


def test_the_environment_can_be_evaluated() -> None:
    """`eval` makes it the shell's own."""
    script = f'eval "$({ZAMA} aws-local env)"; echo "$AWS_ENDPOINT_URL $AWS_REGION"'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "http://127.0.0.1:4566 eu-west-1\n"


def test_what_is_missing_is_named_before_anything_begins() -> None:
    """Without terraform there is one line, and nothing was started."""
    done = zama("up", PATH=str(ZAMA.parent))
    assert done.returncode == 1
    assert done.stderr == "zama: There is no terraform on the PATH: install terraform.\n"


def test_a_failure_comes_with_what_the_emulator_said(tmp_path: Path) -> None:
    """What made a call fail is often told there alone, and a temporary account's log goes."""
    (tmp_path / "emulator.log").write_text("An error of the emulator's own\n")
    with pytest.raises(CommandError, match=r"terraform[\s\S]*An error of the emulator's own"):
        Account(tmp_path).state()


def test_anothers_emulator_is_not_taken_for_ones_own(minimal: Deployment, tmp_path: Path) -> None:
    """A second clone says that the port has an emulator, and whose business that is."""
    second = Account(tmp_path / "account", minimal.account.port)
    with pytest.raises(CommandError, match="end it where it was started"):
        second.start()


def test_the_emulator_is_reached_from_this_machine_only(minimal: Deployment) -> None:
    """All its listening sockets have the loopback address (proc(5), net/tcp)."""
    process = Path("/proc") / (minimal.account.directory / "emulator.pid").read_text()
    sockets = set()
    for link in (process / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # Closed meanwhile.
            sockets.add(str(link.readlink()))
    listening = []
    for table in ("tcp", "tcp6"):
        for line in (process / "net" / table).read_text().splitlines()[1:]:
            _, address, _, state, _, _, _, _, _, inode, *_ = line.split()
            if state == "0A" and f"socket:[{inode}]" in sockets:
                listening.append(address)
    assert len(listening) == PORTS, listening
    assert all(address.startswith("0100007F:") for address in listening), listening
