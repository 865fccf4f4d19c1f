"""Settings that cannot be used stop the start with one clear line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stack import KEY
from zama_ops.pair import ENTRYPOINT

GATEWAY = [
    ({}, "API_KEY"),
    ({"API_KEY": ""}, "API_KEY"),
    ({"API_KEYS": " "}, "API_KEYS"),
    *(
        ({"API_KEY": f"secret{character}rest"}, "API_KEY")
        for character in ('"', "'", "\n", "$", ";", "}", "{", " ", "\\", "#", "\t", "ä", "*", "\r")
    ),
    ({"API_KEY": "x" * 129}, "API_KEY"),
    ({"API_KEYS": "acme"}, "API_KEYS"),
    ({"API_KEYS": "acme="}, "API_KEYS"),
    ({"API_KEYS": "c2VjcmV0cw=="}, "API_KEYS"),
    ({"API_KEYS": "=secret"}, "API_KEYS"),
    ({"API_KEYS": "ac;me=secret"}, "API_KEYS"),
    ({"API_KEYS": "acme=secret globex="}, "API_KEYS"),
    ({"API_KEYS": "acme=secret\tglobex=other"}, "API_KEYS"),
    ({"API_KEYS": "acme=secret globex=secret"}, "API_KEYS"),
    ({"API_KEYS": "acme=secret globex=SECRET"}, "API_KEYS"),
    ({"API_KEYS": "x" * 65 + "=secret"}, "API_KEYS"),
    *(
        ({"API_KEY": KEY, name: value}, name)
        for name, values in {
            "LISTEN_PORT": ("abc", "0", "65536", "80;", "-1", "8 0", "1e3", "80\n81", "080808080"),
            "METRICS_PORT": ("abc", "0", "65536", "9113,nohostname", "9113;"),
            "API_PORT": ("abc", "0", "65536", "8080;}"),
            "LISTEN_HOST": ("localhost;", "1.2.3", "1.2.3.256", "$host", "a b"),
            "API_HOST": ("a;b", "a b", "$host", "a/b", "a\nb", "no.such.host.invalid"),
            "RATE_LIMIT": ("0", "-1", "5r/s", "five", "100001", "5.5"),
            "RATE_BURST": ("0", "x", "5 nodelay"),
            "DRAIN_SECONDS": ("x", "-1", "21", "1s", "1.2.3", ".", "5;"),
            "TRUSTED_PROXIES": ("x", "10.0.0.0/33", "10.0.0.0/", "10.0.0/8", "*", "10.0.0.0/8;"),
            "REQUIRE_API_KEY": ("maybe", "true;"),
            "NGINX_BINARY": ("/no/such/nginx",),
        }.items()
        for value in values
    ),
]


def refused(command: list[str], settings: dict[str, str], named: str) -> None:
    """Start `command` and check that it ends with one line about the setting, and no secret."""
    done = subprocess.run(
        command,
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=10,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == b""
    (line,) = done.stderr.decode().splitlines()
    assert named in line or ("API_HOST" in named and "host not found" in line)
    assert "secret" not in line.lower()


# The entrypoint refuses most before nginx sees them.
@pytest.mark.parametrize("nginx", ["packaged nginx"], indirect=True)
@pytest.mark.parametrize(("settings", "named"), GATEWAY, ids=repr)
def test_the_gateway_refuses_to_start(nginx: str, settings: dict[str, str], named: str) -> None:
    """The line names the variable; nothing in a value becomes configuration."""
    refused([str(ENTRYPOINT)], {"NGINX_BINARY": nginx, **settings}, named)


def test_the_api_refuses_to_start() -> None:
    """It ends as the gateway does; services/api/tests/test_config.py has every refused value."""
    refused([sys.executable, "-m", "zama_api"], {"PORT": "80 80"}, "PORT")


def test_a_path_that_would_become_configuration_is_refused(nginx: str, tmp_path: Path) -> None:
    """The folder to render into is checked like a setting."""
    odd = tmp_path / "a;b"
    odd.mkdir()
    settings = {"NGINX_BINARY": nginx, "API_KEY": KEY, "TMPDIR": str(odd)}
    refused([str(ENTRYPOINT)], settings, "TMPDIR")
    assert list(odd.iterdir()) == []


def test_the_gateway_does_not_start_unrendered(nginx: str, tmp_path: Path) -> None:
    """The template itself is no configuration that nginx would serve from."""
    template = ENTRYPOINT.with_name("nginx.conf")
    done = subprocess.run(
        [nginx, "-t", "-e", "stderr", "-p", f"{tmp_path}", "-c", str(template)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "emerg" in done.stderr
