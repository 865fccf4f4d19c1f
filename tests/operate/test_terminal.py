"""Text that others chose reaches a terminal as plain text, whichever command prints it."""

import ast
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Final

import pytest
from rich.text import Text
from typer.testing import CliRunner

from zama_ops import console
from zama_ops.cli import app
from zama_ops.errors import CommandError
from zama_ops.keyring import Key
from zama_ops.paths import ROOT
from zama_ops.service import keys, logs, status, usage

MARKUP: Final = "[/bold] [red]x[/] [link=http://x]y[/link] :boom: [unbalanced"
# Control sequences in 7 and 8 bits, a hyperlink, a change of direction, and other line ends.
CONTROLS: Final = "\x1b[2J\x9b2J\x1b]8;;http://x\x07\x00\x08\r\x7f\u202e\u2028\u200b\x85"
HOSTILE: Final = MARKUP + CONTROLS
CODE: Final = ROOT / "ops" / "src" / "zama_ops"


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrap no line."""
    monkeypatch.setenv("COLUMNS", "1000")


def assert_plain(text: str) -> None:
    """Check that the hostile text is shown unchanged, without control characters."""
    assert MARKUP in text
    assert r"\u001b[2J\u009b2J" in text
    assert [line for line in text.splitlines() if not line.isprintable()] == []
    assert "\r" not in text


def printed(*words: str) -> str:
    """Run a command, which must not crash; return all that it prints."""
    done = CliRunner().invoke(app, [*words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done.output


@contextmanager
def nothing(*_: object) -> Iterator[None]:
    """Replace the client of an AWS service."""
    yield None


# --- Commands -------------------------------------------------------------------------------------


def test_a_callers_text_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """One request with an unbalanced tag does not end `zama logs`; a line end adds no row."""
    monkeypatch.setattr(logs, "client", nothing)
    query = {"queryString": ""}
    monkeypatch.setattr(logs, "questions", lambda *_: {"slowest": query, HOSTILE: query})
    rows = [{"path": HOSTILE, HOSTILE: "zama: all well\nno"}]
    monkeypatch.setattr(logs, "ask", lambda *_: rows)
    assert_plain(printed("logs"))
    shown = printed("logs", "slowest")
    assert_plain(shown)
    assert r"zama: all well\nno" in shown
    assert json.loads(CliRunner().invoke(app, ["logs", "slowest", "--json"]).stdout) == rows
    assert_plain(printed("logs", HOSTILE))
    assert_plain(printed("logs", "none", "--prefix", HOSTILE))


def test_a_callers_text_in_the_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of a client is one cell."""
    monkeypatch.setattr(usage, "client", nothing)
    monkeypatch.setattr(usage, "questions", lambda *_: {"usage": {}})
    rows = [{"client": HOSTILE, "status": "200", "requests": "1", "p99_ms": "1.5"}]
    monkeypatch.setattr(usage, "ask", lambda *_: rows)
    assert_plain(printed("usage"))


def test_text_in_the_list_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last use comes from the log."""

    class Ring:
        def __init__(self, *_: object) -> None: ...

        def keys(self) -> list[Key]:
            return [Key("acme", "CHANGEME")]

        def room(self) -> tuple[int, int]:
            return 1, 2

        parameter = keys

    monkeypatch.setattr(keys, "client", nothing)
    monkeypatch.setattr(keys, "EcsService", Ring)
    monkeypatch.setattr(keys, "Keyring", Ring)
    use = {"requests": 1, "last_used": HOSTILE}
    monkeypatch.setattr(keys, "_uses", lambda *_: {Key("", "CHANGEME").fingerprint: use})
    assert_plain(printed("keys", "list"))


def test_text_in_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line may have text that AWS returns."""
    report = status.Status(
        url=HOSTILE,
        version="1",
        rollout="FAILED",
        deployed="now",
        tasks=[dict.fromkeys(("id", "state", "health", "zone", "since"), HOSTILE)],
        desired_count=1,
        targets={HOSTILE: 1},
        alarms={HOSTILE: 1},
        firing=[HOSTILE],
        untold=[HOSTILE],
        budgets={HOSTILE: None},
        keys=1,
        old_keys=[],
        wrong=[HOSTILE],
        soon=[HOSTILE],
    )
    monkeypatch.setattr(status, "_ask", lambda *_: report)
    shown = printed("status")
    assert_plain(shown)
    assert shown.count(MARKUP) == 10


def test_text_in_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that `zama smoke` checks may send anything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.wfile.write(b"HTTP/1.1 404 x\r\nContent-Type: ")
            self.wfile.write(HOSTILE.replace("\r", "").encode() + b"\r\n\r\n")

        do_POST = do_GET  # noqa: N815 - the name that http.server looks for

        def log_message(self, *_: object) -> None: ...

    # All checks expect an error, so that the message quotes its type.
    monkeypatch.setattr("zama_ops.contract_checks._limits", lambda _: None)
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        shown = printed("smoke", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert MARKUP in shown
    assert [line for line in shown.splitlines() if not line.isprintable()] == []


@pytest.mark.parametrize("words", ["smoke", "load", "smoke http://a --connect-to"])
def test_text_in_an_argument(words: str) -> None:
    """It may be copied from elsewhere."""
    shown = printed(*words.split(), HOSTILE)
    assert "[/bold]" in shown
    assert [line for line in shown.splitlines() if not line.isprintable()] == []


# --- The class ------------------------------------------------------------------------------------


def in_a_step() -> None:
    with console.step(HOSTILE):
        pass


def in_a_spinner() -> None:
    with console.notes.status(HOSTILE) as spinner:
        spinner.update(HOSTILE)
        spinner.update()
        console.notes.print(spinner.renderable)


def in_an_error() -> None:
    with pytest.raises(Exception, match="1"), console.errors_told():
        raise CommandError(HOSTILE)


def in_a_table() -> None:
    table = console.Table(HOSTILE, title=HOSTILE, caption=HOSTILE)
    table.add_column(HOSTILE)
    table.add_row(HOSTILE, console.Group(HOSTILE, console.styled(HOSTILE, "red")))
    console.show({}, table, as_json=False)


@pytest.mark.parametrize(
    "show",
    [
        in_a_step,
        in_a_spinner,
        in_an_error,
        in_a_table,
        lambda: console.notes.print(HOSTILE, Text("x"), HOSTILE, style="red"),
        lambda: console.say(HOSTILE),
    ],
)
def test_all_ways_to_print_are_plain(
    show: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each way that the console offers escapes any string."""
    show()
    captured = capsys.readouterr()
    assert_plain(captured.out + captured.err)


def _uses(node: ast.AST) -> str | None:
    """Return the name of a way to print that does not belong to the console."""
    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rich"):
        return None if node.module == "rich.progress" else node.module
    if isinstance(node, ast.Import):
        return next((one.name for one in node.names if one.name.startswith("rich")), None)
    called: Any = node.func if isinstance(node, ast.Call) else None
    if isinstance(called, ast.Attribute) and called.attr in {"echo", "secho", "from_markup"}:
        return called.attr
    if isinstance(called, ast.Attribute) and ast.unparse(called).startswith("sys.std"):
        return ast.unparse(called) if called.attr == "write" else None
    return "print" if isinstance(called, ast.Name) and called.id == "print" else None


def test_no_command_prints_in_another_way() -> None:
    """Only the console uses Rich and `echo`; the progress bar's text is our own."""
    found = {
        f"{path.relative_to(CODE)}:{getattr(node, 'lineno', 0)}: {use}"
        for path in CODE.rglob("*.py")
        if path.name != "console.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if (use := _uses(node))
    }
    assert found == set()
