"""`zama --help` is complete, and shells can complete commands."""

from typing import Any, Final

import pytest
import typer

from stack import zama
from zama_ops.cli import app


def commands(command: Any, *words: str) -> dict[str, Any]:
    """Return each command by the words that call it."""
    if not isinstance(command, typer.core.TyperGroup):
        return {" ".join(words): command}
    return {
        name: one
        for word, inner in command.commands.items()
        for name, one in commands(inner, *words, word).items()
    }


COMMANDS: Final = commands(typer.main.get_command(app))


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_has_help(words: str) -> None:
    """The help has a sentence about the command and a text for each option."""
    command = COMMANDS[words]
    assert command.help
    assert command.help.partition("\n")[0].endswith(".")
    for parameter in command.params:
        if isinstance(parameter, typer.core.TyperOption) and parameter.name != "help":
            assert parameter.help or parameter.name == "profile", parameter.name


def test_the_first_page_lists_every_command() -> None:
    """It has every group and command, ordered by purpose."""
    done = zama("--help", COLUMNS="200")
    for name in {words.partition(" ")[0] for words in COMMANDS}:
        assert f" {name} " in done.stdout
    for phrase in ("On this machine", "A running service", "On call", "--install-completion"):
        assert phrase in done.stdout


def test_a_shell_completes_it() -> None:
    """The completion answers the script that `zama --install-completion` installs."""
    asked = {"_ZAMA_COMPLETE": "complete_bash", "COMP_WORDS": "zama keys re", "COMP_CWORD": "2"}
    done = zama(**asked)
    assert done.stdout.split() == ["revoke", "restore"]
