"""Invalid settings stop the start with one clear line."""

import itertools
import re
import sys
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest

from grammar import BOOLEAN, KEY, KEYS, SECRET, SETTINGS, Grammar
from zama_ops.pair import ENTRYPOINT
from zama_ops.programs import START_SECONDS, Programs, complete

# The accepted values of each variable.
ACCEPTED: Final = {
    name: grammar.accepted
    for grammar in (*SETTINGS, *KEYS)
    for name in grammar.gateway
    if grammar.accepted
}
APART: Final = ("LISTEN_HOST", "LISTEN_PORT", "API_KEY")
# Cases that the table cannot have: no key, and values that depend on this machine.
ELSEWHERE = [
    ({}, "API_KEY"),
    ({"API_KEY": ""}, "API_KEY"),
    ({"API_KEY": KEY, "API_HOST": "no.such.host.invalid"}, "host not found"),
    ({"API_KEY": KEY, "NGINX_BINARY": "/no/such/nginx"}, "NGINX_BINARY"),
]


def refused(command: list[str], settings: dict[str, str], *told: str) -> None:
    """Start `command` and check that it ends with one line that has these words and no secret."""
    # A program that accepts the settings would run until the test's time limit.
    with TemporaryDirectory() as folder, Programs(Path(folder)) as programs:
        program = programs.start("refused", command, settings)
        assert program.process.wait(START_SECONDS) == 2, settings
        assert program.stdout.read_text() == ""
        (line,) = program.stderr.read_text().splitlines()
    assert all(words in line for words in told), line
    assert not SECRET.search(line)


# The entrypoint refuses most values before nginx reads them.
@pytest.mark.parametrize("nginx", ["packaged nginx"], indirect=True)
@pytest.mark.parametrize(
    ("name", "grammar"),
    [(name, grammar) for grammar in (*SETTINGS, *KEYS) for name in grammar.gateway],
)
def test_the_gateway_refuses_invalid_settings(nginx: str, name: str, grammar: Grammar) -> None:
    """The line names the variable and its format, and no value becomes configuration."""
    given = {"NGINX_BINARY": nginx} if grammar in KEYS else {"NGINX_BINARY": nginx, "API_KEY": KEY}
    for value in grammar.refused:
        refused([str(ENTRYPOINT)], {**given, name: value}, name, grammar.allowed)


@pytest.mark.parametrize("nginx", ["packaged nginx"], indirect=True)
@pytest.mark.parametrize(("settings", "told"), ELSEWHERE, ids=repr)
def test_the_gateway_does_not_start_without_its_requirements(
    nginx: str, settings: dict[str, str], told: str
) -> None:
    """It needs a key, the API's address and nginx."""
    refused([str(ENTRYPOINT)], {"NGINX_BINARY": nginx, **settings}, told)


def together(names: Collection[str]) -> list[dict[str, str]]:
    """Return settings that have all accepted values of these variables, in as few starts."""
    columns = [itertools.cycle(ACCEPTED[name]) for name in names]
    longest = max(len(ACCEPTED[name]) for name in names)
    return [dict(zip(names, map(next, columns), strict=True)) for _ in range(longest)]


@pytest.mark.parametrize("nginx", ["packaged nginx"], indirect=True)
@pytest.mark.parametrize("settings", together(sorted(ACCEPTED.keys() - APART)))
def test_the_gateway_accepts_the_same_values_as_the_api(
    nginx: str, tmp_path: Path, settings: dict[str, str]
) -> None:
    """The rendered configuration is valid for nginx, and all spellings of a flag are equal."""
    # An invalid API_KEY does not matter if API_KEYS is set.
    here = {"NGINX_BINARY": nginx, "TMPDIR": str(tmp_path), "API_KEY": "x", "LISTEN_PORT": "8081"}
    done = complete(str(ENTRYPOINT), "check", **here, **settings)
    assert done.returncode == 0, done.stderr
    rendered = Path(done.stdout.strip(), "default.conf").read_text()
    required = BOOLEAN.accepted[settings["REQUIRE_API_KEY"]]
    assert ("X-Api-Key $http_x_api_key;" in rendered) is required


@pytest.mark.parametrize("nginx", ["packaged nginx"], indirect=True)
@pytest.mark.parametrize("settings", together(APART))
def test_the_gateway_accepts_addresses_ports_and_single_keys(
    nginx: str, tmp_path: Path, settings: dict[str, str]
) -> None:
    """The configuration is valid, although this machine may not allow nginx to listen there."""
    here = {"NGINX_BINARY": nginx, "TMPDIR": str(tmp_path)}
    done = complete(str(ENTRYPOINT), "check", **here, **settings)
    assert done.returncode == 0 or re.search(r"(bind|socket)\(\)", done.stderr), done.stderr


def test_the_api_refuses_invalid_settings() -> None:
    """It fails as the gateway does; services/api/tests/test_config.py has every refused value."""
    refused([sys.executable, "-m", "zama_api"], {"PORT": "80 80"}, "PORT")


def test_a_path_that_would_become_configuration_is_refused(nginx: str, tmp_path: Path) -> None:
    """The folder for rendered files is checked like a setting."""
    odd = tmp_path / "a;b"
    odd.mkdir()
    settings = {"NGINX_BINARY": nginx, "API_KEY": KEY, "TMPDIR": str(odd)}
    refused([str(ENTRYPOINT)], settings, "TMPDIR")
    assert list(odd.iterdir()) == []


def test_nginx_does_not_start_with_the_template(nginx: str, tmp_path: Path) -> None:
    """The template itself is not a valid configuration."""
    template = ENTRYPOINT.with_name("nginx.conf")
    done = complete(nginx, "-t", "-e", "stderr", "-p", f"{tmp_path}", "-c", str(template))
    assert done.returncode != 0
    assert "emerg" in done.stderr
