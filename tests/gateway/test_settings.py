"""Invalid settings stop the start with one clear line."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from grammar import KEY, KEYS, SECRET, SETTINGS, Grammar
from zama_ops.pair import ENTRYPOINT
from zama_ops.programs import complete

# Cases that the table cannot have: no key, and values that depend on this machine.
ELSEWHERE = [
    ({}, "API_KEY"),
    ({"API_KEY": ""}, "API_KEY"),
    ({"API_KEY": KEY, "API_HOST": "no.such.host.invalid"}, "host not found"),
    ({"API_KEY": KEY, "NGINX_BINARY": "/no/such/nginx"}, "NGINX_BINARY"),
]


def refused(command: list[str], settings: dict[str, str], *told: str) -> None:
    """Start `command` and check that it ends with one line that has these words and no secret."""
    done = complete(*command, **settings)
    assert done.returncode == 2, settings
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
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


@pytest.mark.parametrize("nginx", ["packaged nginx"], indirect=True)
@pytest.mark.parametrize(
    ("name", "values"),
    [(name, grammar.accepted) for grammar in (*SETTINGS, *KEYS) for name in grammar.gateway],
)
def test_the_gateway_accepts_the_same_values_as_the_api(
    nginx: str, tmp_path: Path, name: str, values: Mapping[str, Any]
) -> None:
    """The rendered configuration is valid for nginx, and all spellings of a flag are equal."""
    for value, meaning in values.items():
        # An invalid API_KEY does not matter if API_KEYS is set.
        key = "unused" if name == "API_KEYS" else KEY
        here = {"NGINX_BINARY": nginx, "TMPDIR": str(tmp_path), "LISTEN_PORT": "8081"}
        given = {**here, "API_KEY": key, name: value}
        done = complete(str(ENTRYPOINT), "check", **given)
        # nginx tries to listen, which this machine may not allow for each address and port.
        assert done.returncode == 0 or re.search(r"(bind|socket)\(\)", done.stderr), value
        if name == "REQUIRE_API_KEY":
            rendered = Path(done.stdout.strip(), "default.conf").read_text()
            assert ("X-Api-Key $http_x_api_key;" in rendered) is meaning, value


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
