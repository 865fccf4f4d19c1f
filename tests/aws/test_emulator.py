"""The emulator as a program: its clients, its messages and its responses."""

import contextlib
from pathlib import Path

import pytest

from deployment import Deployment
from stack import connect
from zama_ops.emulated_account import EmulatedAccount
from zama_ops.errors import CommandError


def test_another_clones_emulator_is_not_used(minimal: Deployment, tmp_path: Path) -> None:
    """A second clone reports that an emulator has the port, and where to end it."""
    second = EmulatedAccount(tmp_path / "account", minimal.account.port)
    with pytest.raises(CommandError, match="in the checkout that started it"):
        second.start()


def test_the_emulator_is_reached_from_this_machine_only(minimal: Deployment) -> None:
    """MiniStack's two sockets and Moto's have the loopback address (proc(5), net/tcp)."""
    process = Path("/proc") / (minimal.account.directory / "emulator.pid").read_text()
    sockets = set()
    for link in (process / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # Closed since the listing.
            sockets.add(str(link.readlink()))
    listening = []
    for table in ("tcp", "tcp6"):
        for line in (process / "net" / table).read_text().splitlines()[1:]:
            _, address, _, state, _, _, _, _, _, inode, *_ = line.split()
            if state == "0A" and f"socket:[{inode}]" in sockets:
                listening.append(address)
    assert len(listening) == 3, listening
    assert all(address.startswith("0100007F:") for address in listening), listening


def test_a_failure_includes_the_emulators_log(tmp_path: Path) -> None:
    """The log often has the only reason, and a temporary account deletes it."""
    (tmp_path / "emulator.log").write_text("An error of the emulator's own\n")
    with pytest.raises(CommandError, match=r"terraform[\s\S]*An error of the emulator's own"):
        EmulatedAccount(tmp_path).state()


def test_an_account_starts_from_a_saved_one(minimal: Deployment) -> None:
    """In the account, which began as a saved one, bootstrap finds all of its resources."""
    assert "Resources: 0 added, 0 changed, 0 destroyed." in minimal.account.bootstrap()


@pytest.mark.parametrize(
    ("endpoint", "path"),
    [("AWS_ENDPOINT_URL", "/_ministack/health"), ("AWS_ENDPOINT_URL_EC2", "/moto-api/")],
)
def test_a_response_arrives_in_one_piece(minimal: Deployment, endpoint: str, path: str) -> None:
    """Terraform's provider may retry when headers arrive before the body.

    Moto's response of 10 KB exceeds Python's default write buffer.
    """
    for _ in range(20):
        with connect(minimal.account.environ()[endpoint]) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            _, _, body = connection.recv(2**16).partition(b"\r\n\r\n")
        assert body
