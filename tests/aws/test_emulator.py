"""The emulator as a program: who reaches it, what it tells, and how it answers."""

import contextlib
from concurrent.futures import Future
from pathlib import Path

import pytest

from deployment import Deployment
from stack import connect
from zama_ops.emulated_account import EmulatedAccount, temporary_account
from zama_ops.errors import CommandError


def test_anothers_emulator_is_not_taken_for_ones_own(minimal: Deployment, tmp_path: Path) -> None:
    """A second clone says that the port has an emulator, and whose business that is."""
    second = EmulatedAccount(tmp_path / "account", minimal.account.port)
    with pytest.raises(CommandError, match="end it where it was started"):
        second.start()


def test_the_emulator_is_reached_from_this_machine_only(minimal: Deployment) -> None:
    """MiniStack's two sockets and moto's have the loopback address (proc(5), net/tcp)."""
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
    assert len(listening) == 3, listening
    assert all(address.startswith("0100007F:") for address in listening), listening


def test_a_failure_comes_with_what_the_emulator_said(tmp_path: Path) -> None:
    """What made a call fail is often told there alone, and a temporary account's log goes."""
    (tmp_path / "emulator.log").write_text("An error of the emulator's own\n")
    with pytest.raises(CommandError, match=r"terraform[\s\S]*An error of the emulator's own"):
        EmulatedAccount(tmp_path).state()


def test_an_account_starts_from_a_saved_one(bootstrapped: Future[Path]) -> None:
    """Terraform finds everything that it has made in the saved account, and changes nothing."""
    with temporary_account(bootstrapped.result()) as account:
        assert "Resources: 0 added, 0 changed, 0 destroyed." in account.bootstrap()


@pytest.mark.parametrize(
    ("endpoint", "path"),
    [("AWS_ENDPOINT_URL", "/_ministack/health"), ("AWS_ENDPOINT_URL_EC2", "/moto-api/")],
)
def test_an_answer_arrives_in_one_piece(minimal: Deployment, endpoint: str, path: str) -> None:
    """Terraform's provider at times asks twice when the head of an answer comes alone.

    Moto's, of 10 KB, is larger than what Python collects unless told otherwise.
    """
    for _ in range(20):
        with connect(minimal.account.environ()[endpoint]) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            _, _, body = connection.recv(2**16).partition(b"\r\n\r\n")
        assert body
